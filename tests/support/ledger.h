/* What a broker acknowledged, in a file that no broker touches, and the judgement of what is left of it. */
#ifndef RUNNEL_TESTS_SUPPORT_LEDGER_H
#define RUNNEL_TESTS_SUPPORT_LEDGER_H

#include "protocol/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    LEDGER_PARTITIONS_MAX = 64,
    LEDGER_PRODUCERS_MAX = 16,
    LEDGER_VALUE_MAX = 3072,
};

/* Who wrote a record, and its number among the records of that producer: 0, 1, 2, ... without end. */
struct ledger_id {
    int producer;
    int64_t sequence;
};

/* The one value that belongs to an id under a seed: a readable head, then bytes that half compress.
 * Returns its size, 24..LEDGER_VALUE_MAX; out has room for LEDGER_VALUE_MAX. */
size_t ledger_value(uint64_t seed, struct ledger_id id, uint8_t *out);

struct ledger;

/* Starts an empty ledger in a new file; aborts the test where that is impossible. Returned owned. */
struct ledger *ledger_create(const char *path, uint64_t seed);
/* Closes the file and leaves it where it is. */
void ledger_destroy(struct ledger *ledger);
/* Notes an acknowledgement; any thread. */
void ledger_acknowledge(struct ledger *ledger, int partition, int64_t offset, struct ledger_id id);
int64_t ledger_acknowledged(struct ledger *ledger);

/* All that can be wrong; a judge counts, the test decides what it allows. */
struct ledger_verdict {
    int64_t records;      /* read */
    int64_t acknowledged; /* of these */
    int64_t lost;         /* acknowledged, not found at its offset */
    int64_t corrupt;      /* a value that is not that of the id it names */
    int64_t duplicates;   /* an id for the second time in its partition */
    int64_t disordered;   /* an id below an earlier one of the same producer in its partition */
    int64_t gaps;         /* offsets that are missing between two records */
};

/* Judges one reading of the log: reads the ledger's file anew, then takes the records of each partition in
 * the order in which a consumer saw them. Only one judge at a time; the producers are at rest meanwhile. */
struct ledger_judge;

struct ledger_judge *ledger_judge_open(struct ledger *ledger);
/* Records of this partition are expected from this offset on; acknowledgements below it are not asked for. */
void ledger_judge_begin(struct ledger_judge *judge, int partition, int64_t first_offset);
void ledger_judge_record(struct ledger_judge *judge, int partition, int64_t offset, slice value);
/* Counts as lost what was acknowledged in the partition and did not come; frees the judge. */
struct ledger_verdict ledger_judge_close(struct ledger_judge *judge);

#endif
