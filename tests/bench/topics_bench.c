/* How long ten thousand topics take to be made, listed and deleted, at once and one by one, and what they
 * weigh.
 *
 *     topics_bench [COUNT]      10,000 when not given */
#include <stdio.h>
#include <stdlib.h>

#include "protocol/errors.h"
#include "tests/support/load.h"
#include "tests/support/served.h"
#include "tests/support/topic_client.h"

enum { TIMEOUT_MS = 120000, COUNT_MAX = 10000 };

static char texts[COUNT_MAX][24];
static const char *names[COUNT_MAX];
static struct served served;
static struct wire_client client;
static double since;

static void begin(void)
{
    since = monotonic_seconds();
}

static void end(const char *what, size_t count, bool ok)
{
    double took = monotonic_seconds() - since;
    printf("%-28s %8.1f ms  %7.3f ms each  rss %6.1f MiB%s\n", what, took * 1e3, took * 1e3 / (double)count,
           (double)process_rss(broker_process_pid(served.broker)) / (1 << 20), ok ? "" : "  FAILED");
}

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : COUNT_MAX;
    if (count > COUNT_MAX)
        count = COUNT_MAX;
    for (size_t i = 0; i < count; i++) {
        snprintf(texts[i], sizeof texts[i], "topic-%zu", i * 7919 % count);
        names[i] = texts[i];
    }
    served_start(&served, RUNNEL_BINARY, NULL);
    if (!wire_connect(&client, served.bootstrap, TIMEOUT_MS))
        return 1;
    begin();
    end("start", 1, topic_client_count(&client) == 0);
    for (int round = 0; round < 2; round++) {
        begin();
        end("create, one request", count, topic_client_create(&client, names, count, -1) == ERR_NONE);
        begin();
        end("list", count, topic_client_count(&client) == (int32_t)count);
        begin();
        end("delete, one request", count, topic_client_delete(&client, names, count) == ERR_NONE);
    }
    bool ok = true;
    begin();
    for (size_t i = 0; i < count; i++)
        ok = ok && topic_client_create(&client, &names[i], 1, -1) == ERR_NONE;
    end("create, one by one", count, ok);
    begin();
    for (size_t i = 0; i < count; i++)
        ok = ok && topic_client_produce(&client, names[i]) == ERR_NONE;
    end("first record, one by one", count, ok);
    begin();
    end("delete with data, at once", count, topic_client_delete(&client, names, count) == ERR_NONE);
    begin();
    ok = topic_client_create(&client, names, count, -1) == ERR_NONE;
    end("create again", count, ok);
    begin();
    for (size_t i = 0; i < count; i++)
        ok = ok && topic_client_delete(&client, &names[i], 1) == ERR_NONE;
    end("delete, one by one", count, ok);
    wire_close(&client);
    served_stop(&served);
    return 0;
}
