/* Changes a stream of requests, as a fuzzer does, but frame by frame and field by field, so that what comes
 * out is mostly still understood. */
#ifndef RUNNEL_TESTS_SUPPORT_FRAME_MUTATOR_H
#define RUNNEL_TESTS_SUPPORT_FRAME_MUTATOR_H

#include "protocol/base/arena.h"
#include "protocol/base/random.h"
#include "protocol/base/slice.h"
#include "protocol/base/uuid.h"

enum { FRAME_MUTATOR_IDS = 4 };

/* What only the broker can say and a client sends back: with one seed it is the same in every run. */
struct frame_mutator {
    uuid topic_ids[FRAME_MUTATOR_IDS];      /* of the first topics that are created */
    int32_t session_ids[FRAME_MUTATOR_IDS]; /* of the first fetch sessions */
};

/* Finds out, with brokers of this seed and these settings (as of sim_open). */
void frame_mutator_learn(struct frame_mutator *mutator, uint64_t seed, const char *settings);

/* Changes `size` bytes in place, room for `size_max`; returns the new size, at most that. mutate_bytes:
 * changes bytes without knowing what they are, in the same way. Frames that it writes have the correlation
 * ids 0, 1, ... by their place in the stream. */
size_t frame_mutator_run(const struct frame_mutator *mutator, uint8_t *data, size_t size, size_t size_max,
                         uint64_t seed, size_t (*mutate_bytes)(uint8_t *data, size_t size, size_t size_max));

/* One request as a frame with its length, of an API that is served, in memory of the arena; empty when it
 * could not be encoded. */
slice frame_mutator_request(const struct frame_mutator *mutator, struct random *random, struct arena *arena,
                            int16_t api_key, int16_t version, int32_t correlation_id);

#endif
