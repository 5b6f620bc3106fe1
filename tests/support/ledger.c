/* Keeps acknowledgements in a text file, one a line, and compares a log with them. */
#include "tests/support/ledger.h"

#include "protocol/base/check.h"
#include "protocol/base/random.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct ledger {
    FILE *file;
    uint64_t seed;
    pthread_mutex_t lock;
    int64_t count;
};

struct judged_partition {
    struct ledger_id *acknowledged; /* by offset; producer -1 where nothing was */
    int64_t capacity;
    int64_t first_offset;
    int64_t next_offset;
    int64_t last_sequence[LEDGER_PRODUCERS_MAX];
    bool begun;
};

struct ledger_judge {
    struct ledger *ledger;
    struct ledger_verdict verdict;
    struct judged_partition partitions[LEDGER_PARTITIONS_MAX];
};

size_t ledger_value(uint64_t seed, struct ledger_id id, uint8_t *out)
{
    static const char letters[] = "the quick brown fox jumps over the lazy dog, and once more: ";
    struct random random;
    random_seed(&random, seed ^ ((uint64_t)id.producer << 56) ^ (uint64_t)id.sequence * 0x9e3779b97f4a7c15u);
    int head = snprintf((char *)out, LEDGER_VALUE_MAX, "%d %" PRId64 " ", id.producer, id.sequence);
    size_t size = 24 + random_below(&random, LEDGER_VALUE_MAX - 24);
    for (size_t i = (size_t)head; i < size; i++)
        out[i] = i % 2 ? (uint8_t)letters[i % (sizeof letters - 1)] : (uint8_t)random_u64(&random);
    return size > (size_t)head ? size : (size_t)head;
}

/* The id that a value names, if it names one. */
static bool id_of_value(slice value, struct ledger_id *id)
{
    char head[48];
    size_t size = value.size < sizeof head - 1 ? value.size : sizeof head - 1;
    memcpy(head, value.data, size);
    head[size] = '\0';
    return sscanf(head, "%d %" SCNd64 " ", &id->producer, &id->sequence) == 2 && id->producer >= 0 &&
           id->producer < LEDGER_PRODUCERS_MAX && id->sequence >= 0;
}

struct ledger *ledger_create(const char *path, uint64_t seed)
{
    struct ledger *ledger = check_memory(calloc(1, sizeof *ledger));
    ledger->file = fopen(path, "wx+");
    check(ledger->file != NULL);
    ledger->seed = seed;
    check(pthread_mutex_init(&ledger->lock, NULL) == 0);
    return ledger;
}

void ledger_destroy(struct ledger *ledger)
{
    check(fclose(ledger->file) == 0);
    pthread_mutex_destroy(&ledger->lock);
    free(ledger);
}

void ledger_acknowledge(struct ledger *ledger, int partition, int64_t offset, struct ledger_id id)
{
    pthread_mutex_lock(&ledger->lock);
    check(fprintf(ledger->file, "%d %" PRId64 " %d %" PRId64 "\n", partition, offset, id.producer, id.sequence) > 0);
    ledger->count++;
    pthread_mutex_unlock(&ledger->lock);
}

int64_t ledger_acknowledged(struct ledger *ledger)
{
    pthread_mutex_lock(&ledger->lock);
    int64_t count = ledger->count;
    pthread_mutex_unlock(&ledger->lock);
    return count;
}

static void expect(struct judged_partition *partition, int64_t offset, struct ledger_id id)
{
    if (offset >= partition->capacity) {
        int64_t capacity = (offset + 1) * 2;
        partition->acknowledged = check_memory(
            realloc(partition->acknowledged, (size_t)capacity * sizeof *partition->acknowledged));
        for (int64_t i = partition->capacity; i < capacity; i++)
            partition->acknowledged[i].producer = -1;
        partition->capacity = capacity;
    }
    partition->acknowledged[offset] = id;
}

struct ledger_judge *ledger_judge_open(struct ledger *ledger)
{
    struct ledger_judge *judge = check_memory(calloc(1, sizeof *judge));
    struct ledger_id id;
    int partition, fields;
    int64_t offset, lines = 0;

    judge->ledger = ledger;
    rewind(ledger->file); /* flushes what was written, too */
    while ((fields = fscanf(ledger->file, "%d %" SCNd64 " %d %" SCNd64, &partition, &offset, &id.producer,
                            &id.sequence)) == 4) {
        check(partition >= 0 && partition < LEDGER_PARTITIONS_MAX && offset >= 0);
        expect(&judge->partitions[partition], offset, id);
        lines++;
    }
    check(fields == EOF && lines == ledger->count);
    check(fseek(ledger->file, 0, SEEK_END) == 0);
    return judge;
}

void ledger_judge_begin(struct ledger_judge *judge, int partition, int64_t first_offset)
{
    struct judged_partition *judged = &judge->partitions[partition];
    judged->begun = true;
    judged->first_offset = judged->next_offset = first_offset;
    for (int i = 0; i < LEDGER_PRODUCERS_MAX; i++)
        judged->last_sequence[i] = -1;
}

void ledger_judge_record(struct ledger_judge *judge, int partition, int64_t offset, slice value)
{
    struct judged_partition *judged = &judge->partitions[partition];
    struct ledger_verdict *verdict = &judge->verdict;
    uint8_t expected[LEDGER_VALUE_MAX];
    struct ledger_id id;

    verdict->records++;
    if (offset != judged->next_offset)
        verdict->gaps++;
    judged->next_offset = offset + 1;
    if (!id_of_value(value, &id) ||
        !slice_equal(value, slice_of(expected, ledger_value(judge->ledger->seed, id, expected)))) {
        verdict->corrupt++;
        return;
    }
    if (id.sequence == judged->last_sequence[id.producer])
        verdict->duplicates++;
    else if (id.sequence < judged->last_sequence[id.producer])
        verdict->disordered++;
    judged->last_sequence[id.producer] = id.sequence;
    if (offset >= judged->capacity || judged->acknowledged[offset].producer < 0)
        return;
    struct ledger_id *noted = &judged->acknowledged[offset];
    if (noted->producer == id.producer && noted->sequence == id.sequence) {
        verdict->acknowledged++;
        noted->producer = -1; /* found */
    }
}

struct ledger_verdict ledger_judge_close(struct ledger_judge *judge)
{
    for (int p = 0; p < LEDGER_PARTITIONS_MAX; p++) {
        struct judged_partition *judged = &judge->partitions[p];
        for (int64_t offset = judged->first_offset; judged->begun && offset < judged->capacity; offset++)
            judge->verdict.lost += judged->acknowledged[offset].producer >= 0;
        free(judged->acknowledged);
    }
    struct ledger_verdict verdict = judge->verdict;
    free(judge);
    return verdict;
}
