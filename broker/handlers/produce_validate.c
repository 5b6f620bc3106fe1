/* Validates the batches of a Produce request: on the loop what costs little, the rest on a worker. */
#include "broker/handlers/produce_internal.h"
#include "protocol/base/check.h"

/* Batches that decode to more are validated on a worker (DESIGN 8). */
enum { LOOP_DECODE_MAX = 256 * 1024 };

int16_t produce__error_of_batch(enum batch_status status)
{
    switch (status) {
    case BATCH_OK:
        return ERR_NONE;
    case BATCH_SHORT:
    case BATCH_INVALID:
    case BATCH_BAD_MAGIC:
        return ERR_INVALID_RECORD;
    case BATCH_CORRUPT:
        return ERR_CORRUPT_MESSAGE;
    case BATCH_UNSUPPORTED_COMPRESSION:
        return ERR_UNSUPPORTED_COMPRESSION_TYPE;
    case BATCH_INVALID_TIMESTAMP:
        return ERR_INVALID_TIMESTAMP;
    case BATCH_TOO_LARGE:
        return ERR_MESSAGE_TOO_LARGE;
    case BATCH_NO_MEMORY:
        return ERR_KAFKA_STORAGE_ERROR;
    }
    check_unreachable("batch_status");
}

bool produce__check_size(struct part *part)
{
    if (part->append.batch.size > part->size_max)
        produce__refuse(part, ERR_MESSAGE_TOO_LARGE,
                        "The record batch is larger than max.message.bytes of its topic");
    else if (part->append.batch.size > part->segment_max)
        produce__refuse(part, ERR_RECORD_LIST_TOO_LARGE,
                        "The record batch is larger than segment.bytes of its topic");
    return part->error_code == ERR_NONE;
}

/* CRC, every record, timestamps, codec; decodes at most output_max bytes. BATCH_TOO_LARGE: it would
 * be more, and nothing was changed. */
static enum batch_status validate_part(struct part *part, struct arena *arena, size_t output_max)
{
    struct batch_view *batch = &part->append.batch;
    struct batch_rules rules = part->rules;
    rules.output_max = output_max < rules.output_max ? output_max : rules.output_max;
    enum batch_status status = batch_validate(batch, &rules, arena, &part->verdict);
    if (status == BATCH_OK) {
        batch_set_timestamps(batch, &rules, &part->verdict);
        if (part->recompress != CODEC_COUNT)
            status =
                batch_recompress(batch, part->recompress, part->recompress_level, arena, output_max, batch);
    }
    return status;
}

static void finish_part(struct part *part, enum batch_status status)
{
    part->needs_validation = false;
    if (status != BATCH_OK)
        produce__refuse(part, produce__error_of_batch(status), part->verdict.message);
    else
        produce__check_size(part); /* another codec makes another size */
}

/* Neither decompressed nor compressed: walking it costs less than handing it over. */
static bool is_plain(const struct part *part)
{
    return batch_codec(&part->append.batch) == CODEC_NONE && part->recompress == CODEC_COUNT;
}

/* A payload that turns out larger than it claimed is left to a worker, as are those that admit it. */
bool produce__validate_cheap(struct request *rq)
{
    struct produce_state *state = rq->state;
    bool all = true;
    for (size_t i = 0; i < state->part_count; i++) {
        struct part *part = &state->parts[i];
        if (!part->needs_validation)
            continue;
        enum batch_status status = BATCH_TOO_LARGE;
        if (is_plain(part))
            status = validate_part(part, &rq->arena, part->rules.output_max);
        else if (batch_decoded_size_guess(&part->append.batch) <= LOOP_DECODE_MAX)
            status = validate_part(part, &rq->arena, LOOP_DECODE_MAX);
        if (status == BATCH_TOO_LARGE && !is_plain(part))
            all = false;
        else
            finish_part(part, status);
    }
    return all;
}

void produce__validate_rest(struct request *rq)
{
    struct produce_state *state = rq->state;
    for (size_t i = 0; i < state->part_count; i++)
        if (state->parts[i].needs_validation)
            finish_part(&state->parts[i],
                        validate_part(&state->parts[i], &rq->arena, state->parts[i].rules.output_max));
}
