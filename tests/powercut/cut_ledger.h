/* The ledger of one disk, as the host kept it: read by the guest at each boot. */
#ifndef RUNNEL_TESTS_POWERCUT_CUT_LEDGER_H
#define RUNNEL_TESTS_POWERCUT_CUT_LEDGER_H

#include "tests/powercut/cut_report.h"
#include "tests/support/ledger.h"

enum cut_topic_state {
    CUT_TOPIC_UNKNOWN,
    CUT_TOPIC_MADE,
    CUT_TOPIC_FILLED,
    CUT_TOPIC_REMOVING,
    CUT_TOPIC_REMOVED,
};

struct cut_ledger {
    struct ledger *records;
    bool has_topics;
    struct {
        int64_t producer_id; /* -1: none yet */
        int16_t epoch;
        int64_t next_sequence; /* behind the last that was acknowledged */
    } continued[CUT_SHORT - CUT_CONTINUED];
    int64_t map_last[CUT_SLOTS - CUT_MAP][CUT_MAP_KEYS]; /* newest acknowledged sequence; -1: none */
    int64_t map_end[CUT_SLOTS - CUT_MAP];                /* offset behind the last acknowledged */
    int64_t committed[CUT_CONTINUED - CUT_PLAIN];        /* -1: none */
    enum cut_topic_state topics[CUT_TOPICS];
    int64_t producer_ids[4 * CUT_BOOTS_MAX];
    int producer_ids_count;
};

/* scratch: a file that does not exist yet. Aborts on a line that the host cannot have written. */
void cut_ledger_read(struct cut_ledger *ledger, const char *path, const char *scratch, uint64_t seed);
/* The key, 0 <= key < CUT_MAP_KEYS, of a record of "map". */
int cut_map_key(int64_t sequence);

#endif
