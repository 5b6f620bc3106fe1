/* Derives addresses from the settings: listeners, what clients are told, limits per address. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include "broker/config_internal.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"

enum { LISTENERS_MAX = 64 };

/* NAME://HOST:PORT, taken apart. */
struct endpoint {
    char name[64];
    slice host;
    int64_t port;
};

/* What the listener settings say together. */
struct listeners {
    struct config *config;
    struct config_report *report;
    struct config_list controllers; /* controller.listener.names */
    struct endpoint all[LISTENERS_MAX];
    size_t count;
};

static bool is_host_char(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           strchr("-%._:", c) != NULL;
}

/* "[::1]:9092", "::1:9092", "host:9092", ":9092" */
static bool parse_address(slice text, slice *host, int64_t *port)
{
    size_t colon = text.size;
    while (colon > 0 && text.data[colon - 1] != ':')
        colon--;
    if (colon == 0 || !config__parse_integer(slice_of(text.data + colon, text.size - colon), 0, 65535, port))
        return false;
    *host = slice_of(text.data, colon - 1);
    bool opens = host->size > 0 && host->data[0] == '[';
    bool closes = host->size > 0 && host->data[host->size - 1] == ']';
    if (opens != closes || (opens && host->size < 3))
        return false;
    if (opens)
        *host = slice_of(host->data + 1, host->size - 2);
    for (size_t i = 0; i < host->size; i++)
        if (host->data[i] == 0 || !is_host_char(host->data[i]))
            return false;
    return host->size < 256;
}

/* Letters become upper case, as in Kafka. */
static bool parse_endpoint(slice text, struct endpoint *out)
{
    const char *separator = text.size > 0 ? memmem(text.data, text.size, "://", 3) : NULL;
    if (separator == NULL)
        return false;
    size_t size = (size_t)((const uint8_t *)separator - text.data);
    if (size == 0 || size >= sizeof out->name)
        return false;
    for (size_t i = 0; i < size; i++) {
        char c = (char)text.data[i];
        if (c <= ' ' || c > '~' || strchr(",:\"\\/", c) != NULL)
            return false;
        out->name[i] = c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
    }
    out->name[size] = '\0';
    return parse_address(slice_of(text.data + size + 3, text.size - size - 3), &out->host, &out->port);
}

static bool list_has(const struct config_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], name) == 0)
            return true;
    return false;
}

static int family_of(slice host)
{
    char text[256];
    uint8_t address[16];
    if (host.size >= sizeof text)
        return AF_UNSPEC;
    memcpy(text, host.data, host.size);
    text[host.size] = '\0';
    text[strcspn(text, "%")] = '\0';
    return inet_pton(AF_INET, text, address) == 1    ? AF_INET
           : inet_pton(AF_INET6, text, address) == 1 ? AF_INET6
                                                     : AF_UNSPEC;
}

/* One IPv4 and one IPv6 address may share a port, and then also a name. */
static bool is_address_pair(const struct endpoint *a, const struct endpoint *b)
{
    int one = family_of(a->host), other = family_of(b->host);
    return a->port == b->port && one != AF_UNSPEC && other != AF_UNSPEC && one != other;
}

/* --listen may be repeated at will: all of its listeners are named PLAINTEXT. */
static bool is_free_form(const struct config *config)
{
    return strcmp(config__value(config, SETTING_listeners)->origin, "--listen") == 0;
}

static void check_pair(struct listeners *in, const struct endpoint *a, const struct endpoint *b)
{
    bool same_name = strcmp(a->name, b->name) == 0;
    bool same_port = a->port == b->port && a->port != 0;
    if (is_address_pair(a, b))
        return;
    if (is_free_form(in->config)) {
        if (same_port && slice_equal(a->host, b->host))
            config__report_value(in->report, in->config, SETTING_listeners,
                                 "two listeners have the same address");
        return;
    }
    if (same_name)
        config__report_value(
            in->report, in->config, SETTING_listeners,
            "listeners: two listeners are named %s; each needs a name of its own, unless one "
            "is an IPv4 and the other an IPv6 address of the same port",
            a->name);
    if (same_port)
        config__report_value(
            in->report, in->config, SETTING_listeners,
            "listeners: %s and %s have the same port %d; each needs one of its own, unless one "
            "is an IPv4 and the other an IPv6 address",
            a->name, b->name, (int)a->port);
}

static bool read_endpoints(struct listeners *in, size_t setting)
{
    slice rest = slice_of_string(config__value(in->config, setting)->text), item;
    in->count = 0;
    while (config__list_next(&rest, &item)) {
        if (in->count == LISTENERS_MAX) {
            config__report_value(in->report, in->config, setting, "%s: more than %d",
                                 config__rows[setting].name, LISTENERS_MAX);
            return false;
        }
        if (!parse_endpoint(item, &in->all[in->count++])) {
            config__report_value(
                in->report, in->config, setting,
                "%s: cannot read %s; wanted is NAME://HOST:PORT with a port from 0 to 65535 and "
                "an IPv6 host in brackets",
                config__rows[setting].name, note_escape(item));
            return false;
        }
    }
    return true;
}

/* The protocol of a listener by listener.security.protocol.map, in *out; false: none. */
static bool protocol_of(const struct config *config, const char *listener, slice *out)
{
    slice rest = slice_of_string(config__value(config, SETTING_listener_security_protocol_map)->text), item;
    bool found = false;
    while (config__list_next(&rest, &item)) {
        const uint8_t *colon = item.size > 0 ? memrchr(item.data, ':', item.size) : NULL;
        slice name = colon ? config__trim(slice_of(item.data, (size_t)(colon - item.data))) : SLICE_NULL;
        if (name.size != strlen(listener) || strncasecmp((const char *)name.data, listener, name.size) != 0)
            continue;
        *out = config__trim(slice_of(colon + 1, item.size - name.size - 1 - (size_t)(name.data - item.data)));
        found = true; /* the last one counts, as in a Java map */
    }
    return found;
}

static void check_protocol_map(struct listeners *in)
{
    static const char *const protocols[] = { "PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL" };
    size_t setting = SETTING_listener_security_protocol_map;
    slice rest = slice_of_string(config__value(in->config, setting)->text), item;
    while (rest.size > 0 && config__list_next(&rest, &item)) {
        const uint8_t *colon = item.size > 0 ? memrchr(item.data, ':', item.size) : NULL;
        size_t name_size = colon ? (size_t)(colon - item.data) : 0;
        slice protocol = colon ? config__trim(slice_of(colon + 1, item.size - name_size - 1)) : SLICE_NULL;
        bool known = false;
        for (size_t i = 0; i < sizeof protocols / sizeof *protocols; i++)
            known |= protocol.size == strlen(protocols[i]) &&
                     strncasecmp((const char *)protocol.data, protocols[i], protocol.size) == 0;
        if (!known || config__trim(slice_of(item.data, name_size)).size == 0)
            config__report_value(
                in->report, in->config, setting,
                "listener.security.protocol.map: cannot read %s; wanted is NAME:PROTOCOL with one "
                "of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL",
                note_escape(item));
    }
}

static void check_protocol(struct listeners *in, const char *listener)
{
    slice protocol;
    if (!protocol_of(in->config, listener, &protocol))
        config__report_value(
            in->report, in->config, SETTING_listeners,
            "listeners: no security protocol is defined for listener %s; add %s:PLAINTEXT to "
            "listener.security.protocol.map",
            listener, listener);
    else if (protocol.size != 9 || strncasecmp((const char *)protocol.data, "PLAINTEXT", 9) != 0)
        config__report_value(in->report, in->config, SETTING_listeners,
                             "listeners: listener %s asks for %s, which is not served yet; only PLAINTEXT is",
                             listener, note_escape(protocol));
}

static struct config_listener *copy_endpoints(struct listeners *in, size_t *count)
{
    struct arena *arena = &in->config->values->arena;
    struct config_listener *out = check_memory(arena_alloc_array(arena, in->count + 1, sizeof *out));
    *count = 0;
    for (size_t i = 0; i < in->count; i++) {
        const struct endpoint *from = &in->all[i];
        if (list_has(&in->controllers, from->name))
            continue;
        out[(*count)++] = (struct config_listener){
            .name = check_memory(arena_string(arena, slice_of_string(from->name))),
            .host = check_memory(arena_string(arena, from->host)),
            .port = (uint16_t)from->port,
        };
    }
    return out;
}

static void derive_bound(struct listeners *in)
{
    struct config *config = in->config;
    if (!read_endpoints(in, SETTING_listeners))
        return;
    for (size_t i = 0; i < in->count; i++) {
        for (size_t j = 0; j < i; j++)
            check_pair(in, &in->all[j], &in->all[i]);
        if (!list_has(&in->controllers, in->all[i].name))
            check_protocol(in, in->all[i].name);
        else
            config__report(in->report, CONFIG_MESSAGE_INFO,
                           "listener %s is not opened: the controller is part of this process",
                           in->all[i].name);
    }
    struct config_listener *listeners = copy_endpoints(in, &config->listener_count);
    config->listeners = listeners;
    if (config->listener_count == 0)
        config__report_value(
            in->report, config, SETTING_listeners,
            "listeners: all of them are in controller.listener.names; one for clients is needed");
    for (size_t i = 0; i < config->listener_count; i++)
        listeners[i].is_optional = !config__is_set(config, SETTING_listeners);
}

static bool is_wildcard(slice host)
{
    return slice_equal_string(host, "0.0.0.0") || slice_equal_string(host, "::");
}

static void check_advertised(struct listeners *in, const struct listeners *bound, size_t index)
{
    const struct endpoint *own = &in->all[index];
    size_t setting = SETTING_advertised_listeners;
    bool known = list_has(&bound->controllers, own->name); /* which --listen may have left out */
    for (size_t i = 0; i < bound->count; i++)
        known |= strcmp(bound->all[i].name, own->name) == 0;
    if (!known)
        config__report_value(in->report, in->config, setting,
                             "advertised.listeners: %s is none of listeners; names must be among those",
                             own->name);
    if (is_wildcard(own->host))
        config__report_value(
            in->report, in->config, setting,
            "advertised.listeners: clients cannot connect to the meta-address %.*s; name one that "
            "they can reach",
            (int)own->host.size, (const char *)own->host.data);
    for (size_t i = 0; i < index; i++)
        if (strcmp(in->all[i].name, own->name) == 0)
            config__report_value(in->report, in->config, setting,
                                 "advertised.listeners: %s is there twice; each listener has one address",
                                 own->name);
}

static void check_listener_names(const struct listeners *bound, size_t setting)
{
    slice rest = slice_of_string(config__value(bound->config, setting)->text), item;
    while (rest.size > 0 && config__list_next(&rest, &item)) {
        bool known = false;
        for (size_t i = 0; i < bound->count; i++)
            known |= slice_equal_string(item, bound->all[i].name);
        for (size_t i = 0; i < bound->controllers.count; i++)
            known |= slice_equal_string(item, bound->controllers.items[i]);
        if (!known)
            config__report_value(bound->report, bound->config, setting, "%s: %s is none of listeners",
                                 config__rows[setting].name, note_escape(item));
    }
}

void config__derive_listeners(struct config *config, struct config_report *report)
{
    struct listeners bound = { .config = config, .report = report };
    struct listeners advertised = { .config = config, .report = report };
    slice names = slice_of_string(config__value(config, SETTING_controller_listener_names)->text);
    if (!config__split(&config->values->arena, names, &bound.controllers))
        check_memory(NULL);
    advertised.controllers = bound.controllers;
    check_protocol_map(&bound);
    derive_bound(&bound);
    if (read_endpoints(&advertised, SETTING_advertised_listeners))
        for (size_t i = 0; i < advertised.count; i++)
            check_advertised(&advertised, &bound, i);
    config->advertised = copy_endpoints(&advertised, &config->advertised_count);
    check_listener_names(&bound, SETTING_inter_broker_listener_name);
    check_listener_names(&bound, SETTING_early_start_listeners);
    if (config__is_set(config, SETTING_inter_broker_listener_name) &&
        config__is_set(config, SETTING_security_inter_broker_protocol))
        config__report_value(
            report, config, SETTING_inter_broker_listener_name,
            "only one of inter.broker.listener.name and security.inter.broker.protocol may be set");
}

const struct config_listener *config_advertised(const struct config *config, const char *listener)
{
    for (size_t i = 0; i < config->advertised_count; i++)
        if (strcmp(config->advertised[i].name, listener) == 0)
            return &config->advertised[i];
    return NULL;
}

static void map_ipv4(const void *ipv4, uint8_t out[16])
{
    static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };
    memcpy(out, prefix, 12);
    memcpy(out + 12, ipv4, 4);
}

static bool parse_ip(slice host, uint8_t out[16])
{
    char text[INET6_ADDRSTRLEN];
    uint8_t ipv4[4];
    if (host.size == 0 || host.size >= sizeof text)
        return false;
    memcpy(text, host.data, host.size);
    text[host.size] = '\0';
    if (inet_pton(AF_INET, text, ipv4) != 1)
        return inet_pton(AF_INET6, text, out) == 1;
    map_ipv4(ipv4, out);
    return true;
}

void config__derive_ip_limits(struct config *config, struct config_report *report)
{
    size_t setting = SETTING_max_connections_per_ip_overrides;
    slice rest = slice_of_string(config__value(config, setting)->text), item, host;
    size_t capacity = 1;
    for (size_t i = 0; i < rest.size; i++)
        capacity += rest.data[i] == ',';
    struct config_ip_limit *limits =
        check_memory(arena_alloc_array(&config->values->arena, capacity, sizeof *limits));
    config->ip_limits = limits;
    while (rest.size > 0 && config__list_next(&rest, &item)) {
        struct config_ip_limit *limit = &limits[config->ip_limit_count];
        const uint8_t *colon = item.size > 0 ? memrchr(item.data, ':', item.size) : NULL;
        size_t host_size = colon ? (size_t)(colon - item.data) : 0;
        int64_t count = 0;
        host = config__trim(slice_of(item.data, host_size));
        if (host.size > 2 && host.data[0] == '[' && host.data[host.size - 1] == ']')
            host = slice_of(host.data + 1, host.size - 2);
        if (!parse_ip(host, limit->address) ||
            !config__parse_integer(slice_of(item.data + host_size + 1, item.size - host_size - 1), 0,
                                   INT32_MAX, &count)) {
            config__report_value(
                report, config, setting,
                "max.connections.per.ip.overrides: cannot read %s; wanted is ADDRESS:COUNT, and "
                "host names are not resolved",
                note_escape(item));
            return;
        }
        limit->count = (int32_t)count;
        config->ip_limit_count++;
    }
    if (config->max_connections_per_ip == 0 && config->ip_limit_count == 0)
        config__report_value(
            report, config, SETTING_max_connections_per_ip,
            "max.connections.per.ip: 0 makes sense only with max.connections.per.ip.overrides");
}

int32_t config_connections_per_ip(const struct config *config, const struct sockaddr *peer)
{
    uint8_t address[16];
    if (peer->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, peer, sizeof in);
        map_ipv4(&in.sin_addr, address);
    } else if (peer->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, peer, sizeof in6);
        memcpy(address, &in6.sin6_addr, sizeof address);
    } else {
        return INT32_MAX;
    }
    for (size_t i = 0; i < config->ip_limit_count; i++)
        if (memcmp(config->ip_limits[i].address, address, sizeof address) == 0)
            return config->ip_limits[i].count;
    return config->max_connections_per_ip;
}
