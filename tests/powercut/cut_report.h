/* What the two programs of a power cut agree on: the partitions, who writes them, and the lines in which the
 * guest tells the host what was acknowledged. */
#ifndef RUNNEL_TESTS_POWERCUT_CUT_REPORT_H
#define RUNNEL_TESTS_POWERCUT_CUT_REPORT_H

#include <stdbool.h>
#include <stdint.h>

/* Partitions whose records are in the ledger, by slot. */
enum {
    CUT_PLAIN = 0,     /* four partitions of "plain": two producers write to all of them */
    CUT_CONTINUED = 4, /* two of "continued": an idempotent producer each, which goes on after the cut */
    CUT_SHORT = 6,     /* one of "short", with retention.bytes */
    CUT_MAP = 7,       /* two of "map", compacted */
    CUT_SLOTS = 9,
};

struct cut_slot {
    const char *topic;
    int partition;
};

static const struct cut_slot cut_slots[CUT_SLOTS] = {
    { "plain", 0 },     { "plain", 1 }, { "plain", 2 }, { "plain", 3 }, { "continued", 0 },
    { "continued", 1 }, { "short", 0 }, { "map", 0 },   { "map", 1 },
};

/* Producers, as the ledger numbers them. */
enum {
    CUT_PRODUCER_PLAIN = 0,
    CUT_PRODUCER_FRESH = 1,     /* of "plain", too: idempotent, with a new id in each boot */
    CUT_PRODUCER_CONTINUED = 2, /* and 3: producer and slot have the same distance */
    CUT_PRODUCER_SHORT = 4,
    CUT_PRODUCER_MAP = 5, /* and 6 */
    CUT_PRODUCERS = 7,
};

enum {
    CUT_MAP_KEYS = 16,
    CUT_BATCH_RECORDS_MAX = 12,
    CUT_DEPTH = 4,       /* requests of a producer in flight */
    CUT_BOOTS_MAX = 64,  /* of one disk; boots are counted from 0 */
    CUT_BOOT_TOPICS = 8, /* made in one boot, if there is time */
    CUT_TOPICS = CUT_BOOTS_MAX * CUT_BOOT_TOPICS,
    CUT_SHORT_RETENTION_SIZE = 320 << 10, /* retention.bytes */
};

/* Lines, each ended by " .": a line that was cut short is none. "#" is what the host keeps for the next boot.
 *
 *   hello                             the guest runs
 *   ready MS                          the broker serves; it took so long
 * # topics                            the topics above were made
 *   verdict RECORDS ACKNOWLEDGED LOST CORRUPT DUPLICATES DISORDERED GAPS OTHER
 *   writing                           from here on there are acknowledgements
 * # producer SLOT ID EPOCH            an id was given away; SLOT -1: for this boot alone
 * # ack SLOT OFFSET PRODUCER SEQUENCE COUNT
 * # commit PARTITION OFFSET           of "plain"
 * # made N, filled N, removing N, removed N
 *                                     topic "made-N": was made, got a record, may be gone, is gone
 *   note TEXT                         about what OTHER counts
 *   error TEXT                        what must not happen
 *   stopping, stopped                 the broker is told to, and did, after some writing
 *   done                              nothing more will come */
enum { CUT_LINE_SIZE = 512 };

#endif
