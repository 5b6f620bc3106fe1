/* Everything that writes until the power goes: producers of each kind, a group that commits, topics that come
 * and go. Each acknowledgement is told to the host before the next request. */
#include "tests/powercut/guest.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/create_topics.h"
#include "codec/find_coordinator.h"
#include "codec/init_producer_id.h"
#include "codec/offset_commit.h"
#include "protocol/base/check.h"
#include "protocol/base/clock.h"
#include "protocol/base/random.h"
#include "protocol/errors.h"
#include "tests/support/one_partition.h"
#include "tests/support/topic_client.h"

enum { KEY_PRODUCE = 0, KEY_OFFSET_COMMIT = 8, KEY_CREATE_TOPICS = 19, KEY_INIT_PRODUCER_ID = 22 };
enum { PRODUCE_VERSION = 9, CODECS = 5 };

/* -- topics --------------------------------------------------------------------------------------------- */

void guest_topic_name(char out[32], int number)
{
    snprintf(out, 32, "made-%d", number);
}

static void set_config(struct create_topics_request_topic *topic, const char *name, const char *value)
{
    struct create_topics_request_config *config = &topic->configs[topic->configs_count++];
    create_topics_request_config_init(config);
    config->name = slice_of_string(name);
    config->value = slice_of_string(value);
}

void guest_make_topics(const struct guest *guest)
{
    static const struct {
        const char *name;
        int32_t partitions;
        const char *segment_size;
    } kinds[] = {
        { "plain", 4, "131072" }, { "continued", 2, "65536" },          { "short", 1, "65536" },
        { "map", 2, "32768" },    { "__consumer_offsets", 1, "16384" },
    };
    enum { COUNT = sizeof kinds / sizeof *kinds };
    struct create_topics_request_topic topics[COUNT];
    struct create_topics_request_config configs[COUNT][3];
    struct create_topics_request request;
    struct create_topics_response response;
    struct wire_client client;
    char retention[16];
    snprintf(retention, sizeof retention, "%d", CUT_SHORT_RETENTION_SIZE);
    create_topics_request_init(&request);
    for (int i = 0; i < COUNT; i++) {
        create_topics_request_topic_init(&topics[i]);
        topics[i].name = slice_of_string(kinds[i].name);
        topics[i].num_partitions = kinds[i].partitions;
        topics[i].replication_factor = -1;
        topics[i].configs = configs[i];
        set_config(&topics[i], "internal.segment.bytes", kinds[i].segment_size);
    }
    set_config(&topics[2], "retention.bytes", retention);
    set_config(&topics[3], "cleanup.policy", "compact");
    set_config(&topics[4], "cleanup.policy", "compact");
    request.topics = topics;
    request.topics_count = COUNT;
    guest_connect(guest, &client);
    if (!wire_call(&client, KEY_CREATE_TOPICS, 5, &request, &response))
        guest_fail("CreateTopics without an answer");
    for (int32_t i = 0; i < response.topics_count; i++) /* an earlier boot may have made them, unheard */
        if (response.topics[i].error_code != ERR_NONE &&
            response.topics[i].error_code != ERR_TOPIC_ALREADY_EXISTS)
            guest_fail("CreateTopics: error %d", response.topics[i].error_code);
    wire_close(&client);
    guest_report("topics");
}

static void make_topic(struct wire_client *client, int number)
{
    char name[32];
    const char *names = name;
    int16_t error_code;
    guest_topic_name(name, number);
    if ((error_code = topic_client_create(client, &names, 1, 1)) != ERR_NONE)
        guest_fail("CreateTopics of %s: error %d", name, error_code);
    guest_report("made %d", number);
    if ((error_code = topic_client_produce(client, name)) != ERR_NONE)
        guest_fail("Produce to %s: error %d", name, error_code);
    guest_report("filled %d", number);
}

static void remove_topic(struct wire_client *client, int number)
{
    char name[32];
    const char *names = name;
    int16_t error_code;
    guest_topic_name(name, number);
    guest_report("removing %d", number);
    if ((error_code = topic_client_delete(client, &names, 1)) != ERR_NONE)
        guest_fail("DeleteTopics of %s: error %d", name, error_code);
    guest_report("removed %d", number);
}

/* Topics of this boot are made and get a record; those of the boots before go. */
static void *run_topics(void *context)
{
    const struct guest *guest = context;
    const enum cut_topic_state *topics = guest->ledger.topics;
    struct wire_client client;
    guest_connect(guest, &client);
    for (int i = 0; i < CUT_BOOT_TOPICS; i++) {
        int number = guest->boot * CUT_BOOT_TOPICS + i, older = number - CUT_BOOT_TOPICS;
        make_topic(&client, number);
        if (older >= 0 && (topics[older] == CUT_TOPIC_MADE || topics[older] == CUT_TOPIC_FILLED))
            remove_topic(&client, older);
    }
    wire_close(&client);
    return NULL;
}

/* -- producers ------------------------------------------------------------------------------------------ */

struct sent_batch {
    int slot;
    int64_t sequence;
    int32_t count;
};

struct cut_writer {
    struct guest *guest;
    pthread_t thread;
    int producer;
    int first_slot, slot_count;
    int64_t next; /* sequence of the ledger */
    int64_t producer_id;
    int16_t epoch;
    int32_t base_sequences[CUT_SLOTS]; /* of the next batch, where there is a producer id */
    struct wire_client client;
    struct random random;
    struct sent_batch sent[CUT_DEPTH];
    int sent_count, answered_count;
};

static void init_producer(struct cut_writer *writer, int slot)
{
    const struct cut_ledger *ledger = &writer->guest->ledger;
    struct init_producer_id_request request;
    struct init_producer_id_response response;
    for (int attempts = 0;;) {
        init_producer_id_request_init(&request);
        if (!wire_call(&writer->client, KEY_INIT_PRODUCER_ID, 4, &request, &response))
            guest_fail("InitProducerId without an answer");
        if (response.error_code == ERR_NONE)
            break;
        guest_again(&attempts, "InitProducerId", response.error_code);
    }
    for (int i = 0; i < ledger->producer_ids_count; i++)
        if (ledger->producer_ids[i] == response.producer_id)
            guest_fail("producer id %" PRId64 " is given away again", response.producer_id);
    writer->producer_id = response.producer_id;
    writer->epoch = response.producer_epoch;
    guest_report("producer %d %" PRId64 " %d", slot, response.producer_id, response.producer_epoch);
}

/* Who goes on sends again what was not known to be acknowledged: in the same batches, so that the broker can
 * tell. */
static void go_on(struct cut_writer *writer)
{
    const struct cut_ledger *ledger = &writer->guest->ledger;
    int i = writer->first_slot - CUT_CONTINUED;
    writer->producer_id = ledger->continued[i].producer_id;
    writer->epoch = ledger->continued[i].epoch;
    writer->next = ledger->continued[i].next_sequence;
    writer->base_sequences[writer->first_slot] = (int32_t)writer->next;
    if (writer->producer_id < 0)
        init_producer(writer, writer->first_slot);
}

static struct batch_view build(struct cut_writer *writer, struct arena *arena, const struct sent_batch *sent,
                               int codec)
{
    bool idempotent = writer->producer_id >= 0;
    const struct batch_builder_options options = {
        .leader_epoch = -1,
        .producer_id = writer->producer_id,
        .producer_epoch = writer->epoch,
        .base_sequence = idempotent ? writer->base_sequences[sent->slot] : -1,
        .attributes = (uint16_t)codec,
    };
    struct batch_builder *builder = check_memory(batch_builder_open(arena, &options));
    struct batch_view batch;
    for (int32_t i = 0; i < sent->count; i++) {
        uint8_t value[LEDGER_VALUE_MAX];
        char key[16];
        slice key_slice = SLICE_NULL;
        size_t size = ledger_value(writer->guest->seed,
                                   (struct ledger_id){ writer->producer, sent->sequence + i }, value);
        if (sent->slot >= CUT_MAP) {
            snprintf(key, sizeof key, "key-%d", cut_map_key(sent->sequence + i));
            key_slice = slice_of_string(key);
        }
        check(batch_builder_add(builder, clock_wall_ms(clock_real()), key_slice, slice_of(value, size), NULL,
                                0));
    }
    check(batch_builder_finish(builder, &batch) == BATCH_OK);
    return batch;
}

static void send_batch(struct cut_writer *writer)
{
    struct sent_batch *sent = &writer->sent[writer->sent_count % CUT_DEPTH];
    struct random shape; /* known from the sequence: who goes on must make the same batch again */
    struct arena arena;
    struct one_produce one;
    random_seed(&shape,
                writer->guest->seed ^ ((uint64_t)writer->next * CUT_PRODUCERS + (uint64_t)writer->producer));
    sent->slot = writer->first_slot + (int)random_below(&writer->random, (uint64_t)writer->slot_count);
    sent->sequence = writer->next;
    sent->count = 1 + (int32_t)random_below(&shape, CUT_BATCH_RECORDS_MAX);
    arena_init(&arena, NULL);
    struct batch_view batch = build(writer, &arena, sent, (int)random_below(&shape, CODECS));
    one_produce(&one, cut_slots[sent->slot].topic, cut_slots[sent->slot].partition, batch_bytes(&batch));
    if (!wire_send(&writer->client, KEY_PRODUCE, PRODUCE_VERSION, &one.request))
        guest_fail("Produce: the connection is gone");
    arena_destroy(&arena);
    writer->base_sequences[sent->slot] += sent->count;
    writer->next += sent->count;
    writer->sent_count++;
}

static void receive_answer(struct cut_writer *writer)
{
    const struct sent_batch *sent = &writer->sent[writer->answered_count % CUT_DEPTH];
    int32_t correlation_id =
        writer->client.correlation_id - (writer->sent_count - writer->answered_count - 1);
    struct produce_response response;
    if (!wire_receive(&writer->client, KEY_PRODUCE, PRODUCE_VERSION, correlation_id, &response))
        guest_fail("Produce without an answer");
    const struct produce_response_partition *partition = &response.topics[0].partitions[0];
    int64_t offset = partition->base_offset;
    bool continued = sent->slot >= CUT_CONTINUED && sent->slot < CUT_SHORT;
    /* More than five batches were acknowledged, and the host heard of none: these are there, older than what
     * the broker remembers. */
    if (continued && partition->error_code == ERR_DUPLICATE_SEQUENCE_NUMBER)
        offset = sent->sequence;
    else if (partition->error_code != ERR_NONE)
        guest_fail("Produce to %s: error %d at sequence %" PRId64, cut_slots[sent->slot].topic,
                   partition->error_code, sent->sequence);
    if (continued && offset != sent->sequence)
        guest_fail("an idempotent producer's record %" PRId64 " is at offset %" PRId64, sent->sequence,
                   offset);
    guest_report("ack %d %" PRId64 " %d %" PRId64 " %d", sent->slot, offset, writer->producer, sent->sequence,
                 sent->count);
    writer->answered_count++;
}

static void *run_writer(void *context)
{
    struct cut_writer *writer = context;
    guest_connect(writer->guest, &writer->client);
    writer->producer_id = -1;
    writer->epoch = -1;
    writer->next = (int64_t)writer->guest->boot << 32;
    random_seed(&writer->random, writer->guest->seed + (uint64_t)writer->next + (uint64_t)writer->producer);
    if (writer->first_slot >= CUT_CONTINUED && writer->first_slot < CUT_SHORT)
        go_on(writer);
    else if (writer->producer == CUT_PRODUCER_FRESH)
        init_producer(writer, -1);
    for (;;) {
        while (writer->sent_count - writer->answered_count < CUT_DEPTH)
            send_batch(writer);
        receive_answer(writer);
    }
    return NULL;
}

/* -- commits -------------------------------------------------------------------------------------------- */

static void commit(struct wire_client *client, int32_t partition, int64_t offset)
{
    struct offset_commit_request request;
    struct offset_commit_request_topic topic;
    struct offset_commit_request_partition row;
    struct offset_commit_response response;
    offset_commit_request_init(&request);
    offset_commit_request_topic_init(&topic);
    offset_commit_request_partition_init(&row);
    row.partition = partition;
    row.committed_offset = offset;
    row.committed_metadata = SLICE_LITERAL("");
    topic.name = SLICE_LITERAL("plain");
    topic.partitions = &row;
    topic.partitions_count = 1;
    request.group_id = SLICE_LITERAL(GUEST_GROUP);
    request.topics = &topic;
    request.topics_count = 1;
    if (!wire_call(client, KEY_OFFSET_COMMIT, 8, &request, &response))
        guest_fail("OffsetCommit without an answer");
    if (response.topics[0].partitions[0].error_code != ERR_NONE)
        guest_fail("OffsetCommit: error %d", response.topics[0].partitions[0].error_code);
    guest_report("commit %d %" PRId64, partition, offset);
}

static void *run_commits(void *context)
{
    const struct guest *guest = context;
    struct wire_client client;
    guest_connect(guest, &client);
    guest_find_coordinator(&client);
    for (int64_t i = 0;; i++)
        commit(&client, (int32_t)(i % CUT_CONTINUED), (int64_t)guest->boot << 32 | i);
    return NULL;
}

void guest_write(struct guest *guest)
{
    static struct cut_writer writers[CUT_PRODUCERS] = {
        [CUT_PRODUCER_PLAIN] = { .first_slot = CUT_PLAIN, .slot_count = CUT_CONTINUED - CUT_PLAIN },
        [CUT_PRODUCER_FRESH] = { .first_slot = CUT_PLAIN, .slot_count = CUT_CONTINUED - CUT_PLAIN },
        [CUT_PRODUCER_CONTINUED] = { .first_slot = CUT_CONTINUED, .slot_count = 1 },
        [CUT_PRODUCER_CONTINUED + 1] = { .first_slot = CUT_CONTINUED + 1, .slot_count = 1 },
        [CUT_PRODUCER_SHORT] = { .first_slot = CUT_SHORT, .slot_count = 1 },
        [CUT_PRODUCER_MAP] = { .first_slot = CUT_MAP, .slot_count = 1 },
        [CUT_PRODUCER_MAP + 1] = { .first_slot = CUT_MAP + 1, .slot_count = 1 },
    };
    pthread_t commits, topics;
    guest_report("writing");
    check(pthread_create(&commits, NULL, run_commits, guest) == 0);
    check(pthread_create(&topics, NULL, run_topics, guest) == 0);
    for (int i = 0; i < CUT_PRODUCERS; i++) {
        writers[i].guest = guest;
        writers[i].producer = i;
        check(pthread_create(&writers[i].thread, NULL, run_writer, &writers[i]) == 0);
    }
}
