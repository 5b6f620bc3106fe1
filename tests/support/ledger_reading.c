/* Reads with librdkafka what is left of a ledger's topic. */
#include "tests/support/ledger_reading.h"

#include "protocol/base/check.h"
#include "tests/support/kafka_client.h"

struct ledger_verdict ledger_read_back(struct ledger *ledger, const char *bootstrap, const char *topic,
                                       int partitions, int64_t from[])
{
    rd_kafka_t *consumer = client_create(RD_KAFKA_CONSUMER, bootstrap, NULL);
    struct ledger_judge *judge = ledger_judge_open(ledger);
    struct reader readers[LEDGER_PARTITIONS_MAX];
    int64_t end[LEDGER_PARTITIONS_MAX];

    check(partitions <= LEDGER_PARTITIONS_MAX);
    for (int p = 0; p < partitions; p++) {
        int64_t first;
        client_bounds(consumer, topic, p, &first, &end[p]);
        ledger_judge_begin(judge, p, from[p]);
        if (from[p] < end[p])
            reader_open(&readers[p], consumer, topic, p, from[p]);
    }
    for (int p = 0; p < partitions; p++) {
        if (from[p] >= end[p])
            continue;
        while (from[p] < end[p]) {
            rd_kafka_message_t *got = reader_next(&readers[p]);
            ledger_judge_record(judge, p, got->offset, slice_of(got->payload, got->len));
            from[p] = got->offset + 1;
            rd_kafka_message_destroy(got);
        }
        reader_close(&readers[p]);
    }
    rd_kafka_destroy(consumer);
    return ledger_judge_close(judge);
}
