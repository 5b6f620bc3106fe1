/* Claims blocks of producer ids (KIP-730). */
#include "broker/controller_internal.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "protocol/errors.h"

enum {
    PRODUCER_ID_BLOCK_COUNT = 1000, /* Kafka's; tools that read the log know it */
    /* In Kafka the offset of the broker's RegisterBrokerRecord. A node alone registers with nobody; -1 is
     * what Kafka's own snapshots say. */
    BROKER_EPOCH_NONE = -1,
};

struct claim_command {
    struct command command; /* first */
    int64_t first;
    int16_t error_code;
};

static void decide_claim(struct commit *commit, struct command *command)
{
    struct claim_command *claim = (struct claim_command *)command;
    int64_t next = image_change_next_producer_id(commit->change);
    claim->first = next < 0 ? 0 : next;
    if (claim->first > INT64_MAX - PRODUCER_ID_BLOCK_COUNT) {
        note_error("producer_ids.exhausted", "next_producer_id=%lld next=a new directory",
                   (long long)claim->first);
        claim->error_code = ERR_UNKNOWN_SERVER_ERROR;
        return;
    }
    struct producer_ids_record record;
    producer_ids_record_init(&record);
    record.broker_id = commit->controller->host.config->node_id;
    record.broker_epoch = BROKER_EPOCH_NONE;
    record.next_producer_id = claim->first + PRODUCER_ID_BLOCK_COUNT;
    slice bytes = metadata_record_encode(&commit->arena, METADATA_RECORD_PRODUCER_IDS, 0, &record);
    controller__commit_records(commit, &bytes, 1);
}

static void fail_claim(struct command *command, int16_t error_code)
{
    struct claim_command *claim = (struct claim_command *)command;
    if (claim->error_code == ERR_NONE)
        claim->error_code = error_code;
}

int16_t controller_claim_producer_ids(struct controller *controller, int64_t *first, int32_t *count)
{
    struct claim_command claim = { .command = { .decide = decide_claim, .fail = fail_claim } };
    controller__run(controller, &claim.command);
    *first = claim.first;
    *count = PRODUCER_ID_BLOCK_COUNT;
    return claim.error_code;
}
