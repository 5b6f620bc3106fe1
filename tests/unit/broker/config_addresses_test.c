/* Addresses: listeners, what clients are told, limits per address; the answers are Kafka's. */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/config.h"
#include "tests/unit/broker/config_try.h"

#define MAP        "listener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT,C:PLAINTEXT,S:SSL\n"
#define CONTROLLER "controller.listener.names=CONTROLLER\n"

static const struct row {
    const char *what;
    const char *text;
    const char *listeners; /* "NAME host port;" each */
    const char *error;     /* the first one, "" : none */
} rows[] = {
    { "our default", "", "PLAINTEXT 127.0.0.1 9092;PLAINTEXT ::1 9092;", "" },
    { "all addresses", "listeners=PLAINTEXT://:9092", "PLAINTEXT  9092;", "" },
    { "all IPv4 addresses", "listeners=PLAINTEXT://0.0.0.0:9092", "PLAINTEXT 0.0.0.0 9092;", "" },
    { "a host name", "listeners=PLAINTEXT://local-host_1.x:1", "PLAINTEXT local-host_1.x 1;", "" },
    { "port 0", "listeners=PLAINTEXT://localhost:0", "PLAINTEXT localhost 0;", "" },
    { "the largest port", "listeners=PLAINTEXT://:65535", "PLAINTEXT  65535;", "" },
    { "a port too large", "listeners=PLAINTEXT://:65536", "",
      "f:1: listeners: cannot read \"PLAINTEXT://:65536\"; wanted is NAME://HOST:PORT with a port from 0 to "
      "65535 and an IPv6 host in brackets" },
    { "a port below", "listeners=PLAINTEXT://:-1", "",
      "f:1: listeners: cannot read \"PLAINTEXT://:-1\"; wanted is NAME://HOST:PORT with a port from 0 to "
      "65535 and an IPv6 host in brackets" },
    { "no port", "listeners=PLAINTEXT://h", "",
      "f:1: listeners: cannot read \"PLAINTEXT://h\"; wanted is NAME://HOST:PORT with a port from 0 to 65535 "
      "and an IPv6 host in brackets" },
    { "an empty port", "listeners=PLAINTEXT://h:", "",
      "f:1: listeners: cannot read \"PLAINTEXT://h:\"; wanted is NAME://HOST:PORT with a port from 0 to "
      "65535 and an IPv6 host in brackets" },
    { "no name", "listeners=://h:1", "",
      "f:1: listeners: cannot read \"://h:1\"; wanted is NAME://HOST:PORT with a port from 0 to 65535 and an "
      "IPv6 host in brackets" },
    { "no slashes", "listeners=h:1", "",
      "f:1: listeners: cannot read \"h:1\"; wanted is NAME://HOST:PORT with a port from 0 to 65535 and an "
      "IPv6 host in brackets" },
    { "a path behind", "listeners=PLAINTEXT://h:1/", "",
      "f:1: listeners: cannot read \"PLAINTEXT://h:1/\"; wanted is NAME://HOST:PORT with a port from 0 to "
      "65535 and an IPv6 host in brackets" },
    { "a blank in the host", "listeners=PLAINTEXT://h h:1", "",
      "f:1: listeners: cannot read \"PLAINTEXT://h h:1\"; wanted is NAME://HOST:PORT with a port from 0 to "
      "65535 and an IPv6 host in brackets" },
    { "IPv6 in brackets", "listeners=PLAINTEXT://[::1]:1", "PLAINTEXT ::1 1;", "" },
    { "IPv6 with a zone", "listeners=PLAINTEXT://[fe80::1%eth0]:1", "PLAINTEXT fe80::1%eth0 1;", "" },
    { "IPv6 without brackets, as Kafka takes it", "listeners=PLAINTEXT://::1:1", "PLAINTEXT ::1 1;", "" },
    { "half a bracket", "listeners=PLAINTEXT://[::1:1", "",
      "f:1: listeners: cannot read \"PLAINTEXT://[::1:1\"; wanted is NAME://HOST:PORT with a port from 0 to "
      "65535 and an IPv6 host in brackets" },
    { "empty brackets", "listeners=PLAINTEXT://[]:1", "",
      "f:1: listeners: cannot read \"PLAINTEXT://[]:1\"; wanted is NAME://HOST:PORT with a port from 0 to "
      "65535 and an IPv6 host in brackets" },
    { "names become upper case", "listeners=plaintext://h:1", "PLAINTEXT h 1;", "" },
    { "two listeners", MAP "listeners=A://h:1, B://h:2", "A h 1;B h 2;", "" },
    { "a name twice", MAP "listeners=A://h:1,A://h:2", "",
      "f:2: listeners: two listeners are named A; each needs a name of its own, unless one is an IPv4 and "
      "the other an IPv6 address of the same port" },
    { "a port twice", MAP "listeners=A://h:1,B://i:1", "",
      "f:2: listeners: A and B have the same port 1; each needs one of its own, unless one is an IPv4 and "
      "the other an IPv6 address" },
    { "a port twice, both IPv4", MAP "listeners=A://127.0.0.1:1,B://127.0.0.2:1", "",
      "f:2: listeners: A and B have the same port 1; each needs one of its own, unless one is an IPv4 and "
      "the other an IPv6 address" },
    { "a port twice, IPv4 and IPv6", MAP "listeners=A://127.0.0.1:1,B://[::1]:1", "A 127.0.0.1 1;B ::1 1;",
      "" },
    { "a third on that port", MAP "listeners=A://127.0.0.1:1,B://[::1]:1,C://[::2]:1", "",
      "f:2: listeners: B and C have the same port 1; each needs one of its own, unless one is an IPv4 and "
      "the other an IPv6 address" },
    { "port 0 as often as you like", MAP "listeners=A://h:0,B://h:0", "A h 0;B h 0;", "" },
    { "a name without a protocol", "listeners=X://h:1", "",
      "f:1: listeners: no security protocol is defined for listener X; add X:PLAINTEXT to "
      "listener.security.protocol.map" },
    { "TLS", MAP "listeners=S://h:1", "",
      "f:2: listeners: listener S asks for \"SSL\", which is not served yet; only PLAINTEXT is" },
    { "TLS by its own name", "listeners=SSL://h:1", "",
      "f:1: listeners: listener SSL asks for \"SSL\", which is not served yet; only PLAINTEXT is" },
    { "the map in small letters", "listener.security.protocol.map=a:plaintext\nlisteners=A://h:1", "A h 1;",
      "" },
    { "no such protocol", "listener.security.protocol.map=A:FOO\nlisteners=A://h:1", "",
      "f:1: listener.security.protocol.map: cannot read \"A:FOO\"; wanted is NAME:PROTOCOL with one of "
      "PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL" },
    { "no pair", "listener.security.protocol.map=A\nlisteners=A://h:1", "",
      "f:1: listener.security.protocol.map: cannot read \"A\"; wanted is NAME:PROTOCOL with one of "
      "PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL" },
    { "the controller's is left out", CONTROLLER "listeners=PLAINTEXT://:9092,CONTROLLER://:9093",
      "PLAINTEXT  9092;", "" },
    { "also where it would need TLS",
      CONTROLLER "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:SSL\nlisteners=PLAINTEXT://"
                 ":9092,CONTROLLER://:9093",
      "PLAINTEXT  9092;", "" },
    { "only the controller's", CONTROLLER "listeners=CONTROLLER://:9093", "",
      "f:2: listeners: all of them are in controller.listener.names; one for clients is needed" },
    { "its name is not said", "listeners=PLAINTEXT://:9092,CONTROLLER://:9093", "",
      "f:1: listeners: no security protocol is defined for listener CONTROLLER; add CONTROLLER:PLAINTEXT to "
      "listener.security.protocol.map" },
    { "advertised under another name", "listeners=PLAINTEXT://:1\nadvertised.listeners=B://h:1", "",
      "f:2: advertised.listeners: B is none of listeners; names must be among those" },
    { "a wildcard is advertised", "listeners=PLAINTEXT://:1\nadvertised.listeners=PLAINTEXT://0.0.0.0:1", "",
      "f:2: advertised.listeners: clients cannot connect to the meta-address 0.0.0.0; name one that they can "
      "reach" },
    { "an IPv6 wildcard is advertised", "listeners=PLAINTEXT://:1\nadvertised.listeners=PLAINTEXT://[::]:1",
      "",
      "f:2: advertised.listeners: clients cannot connect to the meta-address ::; name one that they can "
      "reach" },
    { "advertised twice", "listeners=PLAINTEXT://:1\nadvertised.listeners=PLAINTEXT://h:1,PLAINTEXT://i:1",
      "", "f:2: advertised.listeners: PLAINTEXT is there twice; each listener has one address" },
    { "advertised for the controller too",
      CONTROLLER
      "listeners=PLAINTEXT://:1,CONTROLLER://:2\nadvertised.listeners=PLAINTEXT://h:1,CONTROLLER://h:2",
      "PLAINTEXT  1;", "" },
    { "advertised for a controller that --listen left out",
      CONTROLLER "listeners=PLAINTEXT://:1\nadvertised.listeners=PLAINTEXT://h:1,CONTROLLER://h:2",
      "PLAINTEXT  1;", "" },
    { "the inter-broker one is unknown", MAP "listeners=A://:1\ninter.broker.listener.name=B", "",
      "f:3: inter.broker.listener.name: \"B\" is none of listeners" },
    { "the inter-broker one", MAP "listeners=A://:1\ninter.broker.listener.name=A", "A  1;", "" },
    { "named by protocol too",
      MAP "listeners=A://:1\ninter.broker.listener.name=A\nsecurity.inter.broker.protocol=PLAINTEXT", "",
      "f:3: only one of inter.broker.listener.name and security.inter.broker.protocol may be set" },
    { "an early one is unknown", "listeners=PLAINTEXT://:1\nearly.start.listeners=X", "",
      "f:2: early.start.listeners: \"X\" is none of listeners" },
    { "no overrides for no connections", "max.connections.per.ip=0", "",
      "f:1: max.connections.per.ip: 0 makes sense only with max.connections.per.ip.overrides" },
    { "an override by name", "max.connections.per.ip.overrides=h:1", "",
      "f:1: max.connections.per.ip.overrides: cannot read \"h:1\"; wanted is ADDRESS:COUNT, and host names "
      "are not resolved" },
    { "an override without a count", "max.connections.per.ip.overrides=1.2.3.4", "",
      "f:1: max.connections.per.ip.overrides: cannot read \"1.2.3.4\"; wanted is ADDRESS:COUNT, and host "
      "names are not resolved" },
};

START_TEST(listeners)
{
    const struct row *row = &rows[_i];
    struct try_result result = try_load(&(struct try_sources){ .text = row->text });
    char text[256] = "";
    size_t at = 0;
    for (size_t i = 0; result.config && i < result.config->listener_count; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s %s %d;", result.config->listeners[i].name,
                               result.config->listeners[i].host, result.config->listeners[i].port);
    const char *error = try_message(&result, CONFIG_MESSAGE_ERROR);
    ck_assert_msg(strcmp(error, row->error) == 0, "%s: %s", row->what, error);
    ck_assert_msg(strcmp(text, row->listeners) == 0, "%s: %s", row->what, text);
    try_end(&result);
}
END_TEST

START_TEST(only_the_default_is_optional)
{
    struct try_result result = try_load(&(struct try_sources){ .text = "" });
    ck_assert(result.config->listeners[0].is_optional && result.config->listeners[1].is_optional);
    try_end(&result);
    result = try_load(&(struct try_sources){ .text = "listeners=PLAINTEXT://:1" });
    ck_assert(!result.config->listeners[0].is_optional);
    try_end(&result);
}
END_TEST

/* --listen may name any addresses: only the same one twice is refused. */
START_TEST(free_form)
{
    struct config_override listen = {
        "listeners", "PLAINTEXT://127.0.0.1:1,PLAINTEXT://127.0.0.2:1,PLAINTEXT://a:0,PLAINTEXT://b:0",
        "--listen"
    };
    struct config_sources sources = { .overrides = &listen, .override_count = 1, .cpu_count = 1 };
    struct config_report report;
    struct config *config = config_load(&sources, &report);
    ck_assert_uint_eq(report.error_count, 0);
    ck_assert_uint_eq(config->listener_count, 4);
    config_destroy(config);
    config_report_destroy(&report);
    listen.value = "PLAINTEXT://[::1]:1,PLAINTEXT://::1:1";
    ck_assert_ptr_null(config_load(&sources, &report));
    ck_assert_str_eq(report.messages[0].text, "--listen: two listeners have the same address");
    config_report_destroy(&report);
}
END_TEST

START_TEST(advertised)
{
    struct try_result result = try_load(&(struct try_sources){
        .text = MAP "listeners=A://:1,B://:2,C://:3\nadvertised.listeners=a://Host:19092,B://:0" });
    const struct config_listener *a = config_advertised(result.config, "A");
    ck_assert_str_eq(a->host, "Host");
    ck_assert_int_eq(a->port, 19092);
    ck_assert_str_eq(config_advertised(result.config, "B")->host, "");
    ck_assert_int_eq(config_advertised(result.config, "B")->port, 0);
    ck_assert_ptr_null(config_advertised(result.config, "C"));
    try_end(&result);
}
END_TEST

static int32_t limit_of(const struct config *config, const char *address)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
    if (inet_pton(AF_INET, address, &in.sin_addr) == 1)
        return config_connections_per_ip(config, (const struct sockaddr *)&in);
    ck_assert_int_eq(inet_pton(AF_INET6, address, &in6.sin6_addr), 1);
    return config_connections_per_ip(config, (const struct sockaddr *)&in6);
}

START_TEST(limits_per_address)
{
    struct try_result result =
        try_load(&(struct try_sources){ .text = "max.connections.per.ip=7\nmax.connections.per.ip.overrides="
                                                "10.0.0.1:1, [fe80::1]:2,::1:3,10.0.0.2:0" });
    ck_assert_int_eq(limit_of(result.config, "10.0.0.1"), 1);
    ck_assert_int_eq(limit_of(result.config, "::ffff:10.0.0.1"), 1);
    ck_assert_int_eq(limit_of(result.config, "fe80::1"), 2);
    ck_assert_int_eq(limit_of(result.config, "::1"), 3);
    ck_assert_int_eq(limit_of(result.config, "10.0.0.2"), 0);
    ck_assert_int_eq(limit_of(result.config, "10.0.0.3"), 7);
    try_end(&result);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("addresses");
    tcase_add_loop_test(tcase, listeners, 0, COUNT_OF(rows));
    tcase_add_test(tcase, only_the_default_is_optional);
    tcase_add_test(tcase, free_form);
    tcase_add_test(tcase, advertised);
    tcase_add_test(tcase, limits_per_address);
    return try_run("config_addresses", tcase);
}
