/* What the files of Produce share: the partitions of one request on their way. */
#ifndef RUNNEL_BROKER_HANDLERS_PRODUCE_INTERNAL_H
#define RUNNEL_BROKER_HANDLERS_PRODUCE_INTERNAL_H

#include "broker/append.h"
#include "broker/handlers/handlers.h"
#include "protocol/record_batch.h"

enum { ACKS_NONE = 0, ACKS_LEADER = 1, ACKS_ALL = -1 };

/* One partition of the request on its way. */
struct part {
    struct append append;                      /* first used when the batch is valid */
    const struct partition_metadata *metadata; /* this turn's */
    const struct topic *topic;                 /* this turn's */
    uuid topic_id;                             /* to find both again after a worker */
    const struct produce_request_topic *named; /* this turn's, by the mention that was first */
    struct batch_rules rules;
    struct batch_verdict verdict;
    enum codec recompress; /* CODEC_COUNT: keep as sent */
    int recompress_level;
    size_t size_max;          /* of the batch as it is stored: max.message.bytes */
    size_t segment_max;       /* segment.bytes */
    int64_t log_start_offset; /* -1: the partition was not found */
    int32_t index;
    int16_t error_code;
    bool has_batch; /* append.batch is that of the last mention that has one */
    bool needs_validation;
    bool is_appended;
    const char *message;
    int16_t mention_error; /* of a mention without a batch, */
    const char *mention_message;
};

struct produce_state {
    struct part *parts; /* in the order of the response */
    size_t part_count;
    int16_t acks;
    int64_t deadline_ms; /* monotonic */
};

static inline void produce__refuse(struct part *part, int16_t error_code, const char *message)
{
    part->error_code = error_code;
    part->message = message;
    part->needs_validation = false;
}

/* produce_parts.c: makes a part of every partition that the request names, with an error or a batch to
 * validate, and a response with a place for each. False: no memory. */
bool produce__take_parts(struct request *rq, const struct produce_request *in, struct produce_response *out,
                         struct produce_state *state);

/* produce_validate.c. On the loop: false when some are left for a worker, as they would decode to much. */
bool produce__validate_cheap(struct request *rq);
/* On a worker: what the loop left. */
void produce__validate_rest(struct request *rq);
/* The sizes that the topic sets; else the part is refused. */
bool produce__check_size(struct part *part);
int16_t produce__error_of_batch(enum batch_status status);

#endif
