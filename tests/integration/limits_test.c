/* Limits that an operator sets on connections: enforced, and given back. */
#include <check.h>
#include <stdlib.h>

#include "codec/api_versions.h"
#include "tests/support/load.h"
#include "tests/support/served.h"
#include "tests/support/wire_client.h"

enum { TIMEOUT_MS = 10000, LIMIT = 3 };

static bool is_served(struct wire_client *client)
{
    struct api_versions_request request;
    struct api_versions_response response;
    api_versions_request_init(&request);
    return wire_call(client, 18, 0, &request, &response);
}

/* max.connections.per.ip: the fourth is closed without a word, as Kafka does; one that leaves makes room. */
START_TEST(connections_of_one_address)
{
    static const char *const arguments[] = { "--override", "max.connections.per.ip=3", NULL };
    struct served served;
    struct wire_client clients[LIMIT], one_more;
    served_start(&served, RUNNEL_BINARY, arguments);
    for (int i = 0; i < LIMIT; i++) {
        ck_assert(wire_connect(&clients[i], served.bootstrap, TIMEOUT_MS));
        ck_assert(is_served(&clients[i]));
    }
    ck_assert(wire_connect(&one_more, served.bootstrap, TIMEOUT_MS));
    ck_assert(!is_served(&one_more));
    wire_close(&one_more);
    for (int i = 0; i < LIMIT; i++)
        ck_assert(is_served(&clients[i]));

    wire_close(&clients[0]);
    double until = monotonic_seconds() + TIMEOUT_MS / 1e3;
    bool served_again = false;
    while (!served_again && monotonic_seconds() < until) {
        ck_assert(wire_connect(&one_more, served.bootstrap, TIMEOUT_MS));
        served_again = is_served(&one_more);
        if (!served_again)
            wire_close(&one_more);
    }
    ck_assert(served_again);
    wire_close(&one_more);
    for (int i = 1; i < LIMIT; i++)
        wire_close(&clients[i]);
    served_stop(&served);
}
END_TEST

/* max.connections.per.ip.overrides: another number for this address. */
START_TEST(connections_of_an_overridden_address)
{
    static const char *const arguments[] = { "--override", "max.connections.per.ip=1", "--override",
                                             "max.connections.per.ip.overrides=127.0.0.1:2", NULL };
    struct served served;
    struct wire_client first, second, third;
    served_start(&served, RUNNEL_BINARY, arguments);
    ck_assert(wire_connect(&first, served.bootstrap, TIMEOUT_MS) && is_served(&first));
    ck_assert(wire_connect(&second, served.bootstrap, TIMEOUT_MS) && is_served(&second));
    ck_assert(wire_connect(&third, served.bootstrap, TIMEOUT_MS) && !is_served(&third));
    wire_close(&first);
    wire_close(&second);
    wire_close(&third);
    served_stop(&served);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("limits");
    TCase *tests = tcase_create("connections");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, connections_of_one_address);
    tcase_add_test(tests, connections_of_an_overridden_address);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
