/* Reads what the host noted. */
#include "tests/powercut/cut_ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base/check.h"
#include "protocol/base/random.h"

int cut_map_key(int64_t sequence)
{
    struct random random;
    random_seed(&random, (uint64_t)sequence);
    return (int)random_below(&random, CUT_MAP_KEYS);
}

static void note_ack(struct cut_ledger *ledger, int slot, int64_t offset, struct ledger_id first,
                     int64_t count)
{
    check(slot >= 0 && slot < CUT_SLOTS && first.producer >= 0 && first.producer < CUT_PRODUCERS &&
          count > 0);
    if (slot >= CUT_MAP) {
        for (int64_t i = 0; i < count; i++)
            ledger->map_last[slot - CUT_MAP][cut_map_key(first.sequence + i)] = first.sequence + i;
        ledger->map_end[slot - CUT_MAP] = offset + count;
        return;
    }
    if (slot >= CUT_CONTINUED && slot < CUT_SHORT)
        ledger->continued[slot - CUT_CONTINUED].next_sequence = first.sequence + count;
    for (int64_t i = 0; i < count; i++)
        ledger_acknowledge(ledger->records, slot, offset + i,
                           (struct ledger_id){ first.producer, first.sequence + i });
}

static void note_producer(struct cut_ledger *ledger, int slot, int64_t producer_id, int epoch)
{
    check(ledger->producer_ids_count < 4 * CUT_BOOTS_MAX);
    ledger->producer_ids[ledger->producer_ids_count++] = producer_id;
    if (slot < 0)
        return;
    check(slot >= CUT_CONTINUED && slot < CUT_SHORT);
    ledger->continued[slot - CUT_CONTINUED].producer_id = producer_id;
    ledger->continued[slot - CUT_CONTINUED].epoch = (int16_t)epoch;
}

static bool note_topic(struct cut_ledger *ledger, const char *line)
{
    static const char *const words[] = { [CUT_TOPIC_MADE] = "made",
                                         [CUT_TOPIC_FILLED] = "filled",
                                         [CUT_TOPIC_REMOVING] = "removing",
                                         [CUT_TOPIC_REMOVED] = "removed" };
    char word[16];
    int number;
    if (sscanf(line, "%15s %d .", word, &number) != 2)
        return false;
    for (int state = CUT_TOPIC_MADE; state <= CUT_TOPIC_REMOVED; state++) {
        if (strcmp(word, words[state]) != 0)
            continue;
        check(number >= 0 && number < CUT_TOPICS);
        ledger->topics[number] = (enum cut_topic_state)state;
        return true;
    }
    return false;
}

static void note_line(struct cut_ledger *ledger, const char *line)
{
    struct ledger_id first;
    int64_t a, count;
    int slot, epoch;
    if (sscanf(line, "ack %d %" SCNd64 " %d %" SCNd64 " %" SCNd64 " .", &slot, &a, &first.producer,
               &first.sequence, &count) == 5)
        note_ack(ledger, slot, a, first, count);
    else if (sscanf(line, "commit %d %" SCNd64 " .", &slot, &a) == 2) {
        check(slot >= 0 && slot < CUT_CONTINUED);
        ledger->committed[slot] = a;
    } else if (sscanf(line, "producer %d %" SCNd64 " %d .", &slot, &a, &epoch) == 3)
        note_producer(ledger, slot, a, epoch);
    else if (strcmp(line, "topics .\n") == 0)
        ledger->has_topics = true;
    else
        check(note_topic(ledger, line));
}

void cut_ledger_read(struct cut_ledger *ledger, const char *path, const char *scratch, uint64_t seed)
{
    char line[CUT_LINE_SIZE];
    FILE *file = fopen(path, "re");
    check(file != NULL);
    memset(ledger, 0, sizeof *ledger);
    memset(ledger->map_last, -1, sizeof ledger->map_last);
    memset(ledger->committed, -1, sizeof ledger->committed);
    for (int i = 0; i < CUT_SHORT - CUT_CONTINUED; i++)
        ledger->continued[i].producer_id = -1;
    ledger->records = ledger_create(scratch, seed);
    while (fgets(line, sizeof line, file))
        note_line(ledger, line);
    fclose(file);
}
