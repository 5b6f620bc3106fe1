/* The rows of the versions matrix about topics: Metadata, CreateTopics, DeleteTopics, CreatePartitions,
 * DescribeTopicPartitions. */
#include "tests/sim/versions/rig.h"

#include "codec/create_partitions.h"
#include "codec/create_topics.h"
#include "codec/delete_records.h"
#include "codec/delete_topics.h"
#include "codec/describe_topic_partitions.h"

enum {
    KEY_METADATA = 3,
    KEY_CREATE_TOPICS = 19,
    KEY_DELETE_TOPICS = 20,
    KEY_DELETE_RECORDS = 21,
    KEY_CREATE_PARTITIONS = 37,
    KEY_DESCRIBE_TOPIC_PARTITIONS = 75
};
enum { TOPIC_BITS = 0x0df8, CLUSTER_BITS = 0x1fa0 }; /* operations 3-8, 10, 11; 5, 7-12 */

static const uuid unknown_id = { { 1, 2, 3, 4, 5, 6, 0x47, 8, 0x89, 10, 11, 12, 13, 14, 15, 16 } };
static int32_t own_id[] = { 1 };

/* -- Metadata ----------------------------------------------------------------------------------------- */

static struct metadata_response metadata(struct metadata_request_topic *topics, int32_t count)
{
    struct metadata_request request;
    struct metadata_response told;
    metadata_request_init(&request);
    request.topics = topics;
    request.topics_count = count;
    request.allow_auto_topic_creation = subject.version < 4;
    request.include_cluster_authorized_operations = subject.version >= 8 && subject.version <= 10;
    request.include_topic_authorized_operations = subject.version >= 8;
    ask(&request, &told);
    expect(told.throttle_time_ms, 0);
    return told;
}

static const struct metadata_response_topic *metadata_topic(const struct metadata_response *told,
                                                            const char *name)
{
    for (int32_t i = 0; i < told->topics_count; i++)
        if (slice_equal_string(told->topics[i].name, name))
            return &told->topics[i];
    expect_that(name == NULL);
    return NULL;
}

static void expect_cluster(const struct metadata_response *told, int16_t version)
{
    expect(told->brokers_count, 1);
    expect(told->brokers[0].node_id, 1);
    expect_that(told->brokers[0].host.size > 0);
    expect_that(told->brokers[0].port > 0);
    expect_text(told->brokers[0].rack, version >= 1 ? "r1" : NULL);
    expect(told->cluster_id.size, version >= 2 ? UUID_TEXT_SIZE : 0);
    expect(told->controller_id, version >= 1 ? 1 : -1);
    expect(told->cluster_authorized_operations, version >= 8 && version <= 10 ? CLUSTER_BITS : INT32_MIN);
    expect(told->error_code, ERR_NONE);
}

static void expect_orders(const struct metadata_response_topic *topic, uuid id, int16_t version)
{
    expect(topic->error_code, ERR_NONE);
    expect_text(topic->name, "orders");
    expect_that(uuid_equal(topic->topic_id, version >= 10 ? id : UUID_ZERO));
    expect(topic->is_internal, false);
    expect(topic->topic_authorized_operations, version >= 8 ? TOPIC_BITS : INT32_MIN);
    expect(topic->partitions_count, 3);
    for (int32_t i = 0; i < 3; i++) {
        const struct metadata_response_partition *partition = &topic->partitions[i];
        expect(partition->error_code, ERR_NONE);
        expect(partition->partition, i);
        expect(partition->leader_id, 1);
        expect(partition->leader_epoch, version >= 7 ? 0 : -1);
        expect(partition->replica_nodes_count, 1);
        expect(partition->replica_nodes[0], 1);
        expect(partition->isr_nodes_count, 1);
        expect(partition->isr_nodes[0], 1);
        expect(partition->offline_replicas_count, 0);
    }
}

/* v10 and v11 have the id, and may not use it. */
static void check_metadata_by_id(uuid id, int16_t version)
{
    struct metadata_request_topic topics[2];
    for (int i = 0; i < 2; i++) {
        metadata_request_topic_init(&topics[i]);
        topics[i].name = SLICE_NULL;
        topics[i].topic_id = i ? unknown_id : id;
    }
    struct metadata_response told = metadata(topics, 2);
    expect(told.topics_count, 2);
    if (version < 12) {
        expect(told.topics[0].error_code, ERR_INVALID_REQUEST);
        expect(told.topics[1].error_code, ERR_INVALID_REQUEST);
        return;
    }
    expect_orders(metadata_topic(&told, "orders"), id, version);
    const struct metadata_response_topic *unknown =
        &told.topics[uuid_equal(told.topics[0].topic_id, id) ? 1 : 0];
    expect(unknown->error_code, ERR_UNKNOWN_TOPIC_ID);
    expect_text(unknown->name, NULL);
    expect_that(uuid_equal(unknown->topic_id, unknown_id));
}

static void check_metadata(int16_t version)
{
    static const char *const names[] = { "orders", "__consumer_offsets", "nowhere" };
    struct metadata_request_topic topics[3];
    rig_open("");
    uuid id = make_topic("orders");
    make_topic("__consumer_offsets");
    for (int i = 0; i < 3; i++) {
        metadata_request_topic_init(&topics[i]);
        topics[i].name = slice_of_string(names[i]);
    }
    struct metadata_response told = metadata(topics, 3);
    expect_cluster(&told, version);
    expect(told.topics_count, 3);
    expect_orders(metadata_topic(&told, "orders"), id, version);
    const struct metadata_response_topic *internal = metadata_topic(&told, "__consumer_offsets");
    expect(internal->partitions_count, 50);
    expect(internal->is_internal, version >= 1);
    /* Below v4 a client cannot say that it wants no topic made. */
    const struct metadata_response_topic *nowhere = metadata_topic(&told, "nowhere");
    expect(nowhere->error_code, version >= 4 ? ERR_UNKNOWN_TOPIC_OR_PARTITION : ERR_NONE);
    expect(nowhere->partitions_count, version >= 4 ? 0 : 3);
    topics[0].name = SLICE_LITERAL("no name");
    told = metadata(topics, 1);
    expect(told.topics[0].error_code, ERR_INVALID_TOPIC_EXCEPTION);

    int32_t all = version >= 4 ? 2 : 3;
    expect(metadata(topics, 0).topics_count, version >= 1 ? 0 : all);
    if (version >= 1)
        expect(metadata(NULL, -1).topics_count, all);
    if (version >= 10)
        check_metadata_by_id(id, version);
    rig_close();
}

static const struct exemption metadata_untold[] = {
    { "throttle_time_ms", 0, NEVER_LAST, "no quotas" },
    { "topics.partitions.error_code", 0, NEVER_LAST, "the only node leads all, and is there" },
    { "topics.partitions.offline_replicas", 5, NEVER_LAST, "as above" },
    { "error_code", 13, NEVER_LAST, "only for clients that should begin anew" },
    { 0 },
};

/* -- CreateTopics ------------------------------------------------------------------------------------- */

static struct create_topics_request_config two_settings[2];
static struct create_topics_request_assignment by_hand[2];

static void name_topic(struct create_topics_request_topic *topic, const char *name, int32_t partitions,
                       int16_t factor)
{
    create_topics_request_topic_init(topic);
    topic->name = slice_of_string(name);
    topic->num_partitions = partitions;
    topic->replication_factor = factor;
}

static void add_settings(struct create_topics_request_topic *topic, const char *name, const char *value)
{
    create_topics_request_config_init(&two_settings[0]);
    create_topics_request_config_init(&two_settings[1]);
    two_settings[0].name = SLICE_LITERAL("cleanup.policy");
    two_settings[0].value = SLICE_LITERAL("compact");
    two_settings[1].name = slice_of_string(name);
    two_settings[1].value = slice_of_string(value);
    topic->configs = two_settings;
    topic->configs_count = 2;
}

static void add_assignments(struct create_topics_request_topic *topic)
{
    for (int32_t i = 0; i < 2; i++) {
        create_topics_request_assignment_init(&by_hand[i]);
        by_hand[i].partition = i;
        by_hand[i].broker_ids = own_id;
        by_hand[i].broker_ids_count = 1;
    }
    topic->assignments = by_hand;
    topic->assignments_count = 2;
}

static struct create_topics_response create_topics(struct create_topics_request_topic *topics, int32_t count,
                                                   bool validate_only)
{
    struct create_topics_request request;
    struct create_topics_response told;
    create_topics_request_init(&request);
    request.topics = topics;
    request.topics_count = count;
    request.timeout_ms = 10000;
    request.validate_only = validate_only;
    ask(&request, &told);
    expect(told.throttle_time_ms, 0);
    expect(told.topics_count, count);
    return told;
}

static const struct create_topics_response_topic *created(const struct create_topics_response *told,
                                                          const char *name)
{
    for (int32_t i = 0; i < told->topics_count; i++)
        if (slice_equal_string(told->topics[i].name, name))
            return &told->topics[i];
    expect_that(false);
    return NULL;
}

static void expect_setting(const struct create_topics_response_topic *topic, const char *name,
                           const char *value, int8_t source)
{
    for (int32_t i = 0; i < topic->configs_count; i++) {
        const struct create_topics_response_config *config = &topic->configs[i];
        if (!slice_equal_string(config->name, name))
            continue;
        expect_text(config->value, value);
        expect(config->config_source, source);
        expect(config->read_only, false);
        expect(config->is_sensitive, false);
        return;
    }
    expect_text(SLICE_LITERAL("no such setting is told"), name);
}

static void expect_created(const struct create_topics_response_topic *topic, int32_t partitions,
                           int16_t version)
{
    expect(topic->error_code, ERR_NONE);
    expect_text(topic->error_message, NULL);
    expect(topic->topic_config_error_code, ERR_NONE);
    expect(topic->num_partitions, version >= 5 ? partitions : -1);
    expect(topic->replication_factor, version >= 5 ? 1 : -1);
    expect_that((topic->configs_count > 25) == (version >= 5));
}

static void expect_not_created(const struct create_topics_response_topic *topic, int16_t error_code,
                               int16_t version)
{
    expect(topic->error_code, error_code);
    expect_that(topic->error_message.size > 0);
    expect(topic->num_partitions, -1);
    expect(topic->replication_factor, -1);
    expect_that(topic->configs_count <= 0);
    expect_that(version < 7 || uuid_is_zero(topic->topic_id));
}

/* What the topics of the first request became. */
static void check_created(int16_t version)
{
    struct create_topics_request_topic topics[7];
    name_topic(&topics[0], "counted", 4, 1);
    add_settings(&topics[0], "retention.ms", "86400001");
    name_topic(&topics[1], "by-hand", -1, -1);
    add_assignments(&topics[1]);
    name_topic(&topics[2], "no name", 1, 1);
    name_topic(&topics[3], "too-many-copies", 1, 3);
    name_topic(&topics[4], "no-partitions", 0, 1);
    name_topic(&topics[5], "by-default", -1, -1);
    name_topic(&topics[6], "orders", 1, 1);
    struct create_topics_response told = create_topics(topics, 7, false);
    const struct create_topics_response_topic *counted = created(&told, "counted");
    expect_created(counted, 4, version);
    if (version >= 5) {
        expect_setting(counted, "cleanup.policy", "compact", 1);
        expect_setting(counted, "retention.ms", "86400001", 1);
        expect_setting(counted, "retention.bytes", "-1", 5);
    }
    expect_created(created(&told, "by-hand"), 2, version);
    expect_created(created(&told, "by-default"), 3, version);
    expect_not_created(created(&told, "no name"), ERR_INVALID_TOPIC_EXCEPTION, version);
    expect_not_created(created(&told, "too-many-copies"), ERR_INVALID_REPLICATION_FACTOR, version);
    expect_not_created(created(&told, "no-partitions"), ERR_INVALID_PARTITIONS, version);
    expect_not_created(created(&told, "orders"), ERR_TOPIC_ALREADY_EXISTS, version);
    uuid told_id = counted->topic_id; /* asking on frees the answer */
    expect(partition_count_of("counted"), 4);
    expect(partition_count_of("by-hand"), 2);
    expect(partition_count_of("by-default"), 3);
    expect(partition_count_of("no-partitions"), -1);
    expect_that(uuid_equal(told_id, version >= 7 ? make_topic("counted") : UUID_ZERO));
}

static void check_create_topics(int16_t version)
{
    struct create_topics_request_topic topics[2];
    rig_open("");
    make_topic("orders");
    check_created(version);

    name_topic(&topics[0], "only-asked", 5, 1);
    name_topic(&topics[1], "bad-setting", 1, 1);
    add_settings(&topics[1], "no.such.setting", "1");
    struct create_topics_response told = create_topics(topics, 2, true);
    expect_created(created(&told, "only-asked"), 5, version);
    expect_not_created(created(&told, "bad-setting"), ERR_INVALID_CONFIG, version);
    expect(partition_count_of("only-asked"), -1);

    deny(OP_DESCRIBE_CONFIGS, "hidden");
    name_topic(&topics[0], "hidden", 5, 1);
    told = create_topics(topics, 1, false);
    const struct create_topics_response_topic *hidden = created(&told, "hidden");
    expect(hidden->error_code, ERR_NONE);
    expect(hidden->topic_config_error_code, version >= 5 ? ERR_TOPIC_AUTHORIZATION_FAILED : ERR_NONE);
    expect(hidden->num_partitions, -1);
    expect_that(hidden->configs_count <= 0);
    rig_close();
}

static const struct exemption create_topics_untold[] = {
    { "throttle_time_ms", 0, NEVER_LAST, "no quotas" },
    { "topics.configs.read_only", 5, NEVER_LAST, "no setting of a topic is" },
    { "topics.configs.is_sensitive", 5, NEVER_LAST, "no setting of a topic is" },
    { 0 },
};

/* -- DeleteTopics ------------------------------------------------------------------------------------- */

static const struct delete_topics_response_topic *deleted(const struct delete_topics_response *told,
                                                          const char *name)
{
    for (int32_t i = 0; i < told->topics_count; i++)
        if (slice_is_null(told->topics[i].name) ? !name
                                                : name && slice_equal_string(told->topics[i].name, name))
            return &told->topics[i];
    expect_that(false);
    return NULL;
}

static void expect_deleted(const struct delete_topics_response_topic *topic, uuid id, int16_t error_code,
                           int16_t version)
{
    expect(topic->error_code, error_code);
    expect_that(uuid_equal(topic->topic_id, version >= 6 ? id : UUID_ZERO));
    expect_that((topic->error_message.size > 0) == (version >= 5 && error_code != ERR_NONE));
}

static void check_delete_topics(int16_t version)
{
    slice names[] = { SLICE_LITERAL("orders"), SLICE_LITERAL("nowhere") };
    struct delete_topics_request request;
    struct delete_topics_request_topic topics[4];
    struct delete_topics_response told;
    rig_open("");
    uuid id = make_topic("orders"), other_id = make_topic("returns");
    append_records("orders", 0, 3);
    delete_topics_request_init(&request);
    for (int i = 0; i < 4; i++)
        delete_topics_request_topic_init(&topics[i]);
    topics[0].name = names[0];
    topics[1].name = names[1];
    topics[2].topic_id = other_id;
    topics[3].topic_id = unknown_id;
    request.topic_names = names;
    request.topic_names_count = version < 6 ? 2 : 0;
    request.topics = topics;
    request.topics_count = version < 6 ? 0 : 4;
    request.timeout_ms = 10000;
    ask(&request, &told);
    expect(told.throttle_time_ms, 0);
    expect(told.topics_count, version < 6 ? 2 : 4);
    expect_deleted(deleted(&told, "orders"), id, ERR_NONE, version);
    expect_deleted(deleted(&told, "nowhere"), UUID_ZERO, ERR_UNKNOWN_TOPIC_OR_PARTITION, version);
    if (version >= 6) {
        expect_deleted(deleted(&told, "returns"), other_id, ERR_NONE, version);
        expect_deleted(deleted(&told, NULL), unknown_id, ERR_UNKNOWN_TOPIC_ID, version);
    }
    expect(partition_count_of("orders"), -1);
    expect(partition_count_of("returns"), version < 6 ? 3 : -1);
    expect_that(!uuid_equal(make_topic("orders"), id));
    expect(append_records("orders", 0, 1), 0);
    rig_close();

    rig_open("delete.topic.enable=false\n");
    make_topic("orders");
    request.topics_count = version < 6 ? 0 : 1;
    request.topic_names_count = version < 6 ? 1 : 0;
    ask(&request, &told);
    expect(told.topics[0].error_code, version >= 3 ? ERR_TOPIC_DELETION_DISABLED : ERR_INVALID_REQUEST);
    expect(partition_count_of("orders"), 3);
    rig_close();
}

/* -- DeleteRecords ------------------------------------------------------------------------------------ */

static void check_delete_records(int16_t version)
{
    struct delete_records_request request;
    struct delete_records_request_topic topics[2];
    struct delete_records_request_partition partitions[] = { { 0, 2 }, { 1, -1 }, { 2, 9 } },
                                            nowhere = { 0, 1 };
    struct delete_records_response told;
    (void)version;
    rig_open("");
    make_topic("orders");
    append_records("orders", 0, 3);
    append_records("orders", 1, 5);
    delete_records_request_init(&request);
    for (int i = 0; i < 2; i++)
        delete_records_request_topic_init(&topics[i]);
    topics[0].name = SLICE_LITERAL("orders");
    topics[0].partitions = partitions;
    topics[0].partitions_count = 3;
    topics[1].name = SLICE_LITERAL("nowhere");
    topics[1].partitions = &nowhere;
    topics[1].partitions_count = 1;
    request.topics = topics;
    request.topics_count = 2;
    request.timeout_ms = 10000;
    ask(&request, &told);
    expect(told.throttle_time_ms, 0);
    expect(told.topics_count, 2);
    expect_text(told.topics[0].name, "orders");
    expect(told.topics[0].partitions_count, 3);
    expect(told.topics[0].partitions[0].error_code, ERR_NONE);
    expect(told.topics[0].partitions[0].low_watermark, 2);
    expect(told.topics[0].partitions[1].partition_index, 1);
    expect(told.topics[0].partitions[1].low_watermark, 5);
    expect(told.topics[0].partitions[2].error_code, ERR_OFFSET_OUT_OF_RANGE);
    expect(told.topics[0].partitions[2].low_watermark, -1);
    expect(told.topics[1].partitions[0].error_code, ERR_UNKNOWN_TOPIC_OR_PARTITION);
    expect(told.topics[1].partitions[0].low_watermark, -1);
    deny(OP_DELETE, "orders");
    ask(&request, &told);
    expect(told.topics[0].partitions[0].error_code, ERR_TOPIC_AUTHORIZATION_FAILED);
    rig_close();
}

/* -- CreatePartitions --------------------------------------------------------------------------------- */

static struct create_partitions_response create_partitions(struct create_partitions_request_topic *topics,
                                                           int32_t count, bool validate_only)
{
    struct create_partitions_request request;
    struct create_partitions_response told;
    create_partitions_request_init(&request);
    request.topics = topics;
    request.topics_count = count;
    request.timeout_ms = 10000;
    request.validate_only = validate_only;
    ask(&request, &told);
    expect(told.throttle_time_ms, 0);
    expect(told.results_count, count);
    return told;
}

static void grow(struct create_partitions_request_topic *topic, const char *name, int32_t count)
{
    create_partitions_request_topic_init(topic);
    topic->name = slice_of_string(name);
    topic->count = count;
    topic->assignments_count = -1;
}

static void expect_grown(const struct create_partitions_response *told, const char *name, int16_t error_code)
{
    for (int32_t i = 0; i < told->results_count; i++) {
        if (!slice_equal_string(told->results[i].name, name))
            continue;
        expect(told->results[i].error_code, error_code);
        expect_that((told->results[i].error_message.size > 0) == (error_code == ERR_INVALID_PARTITIONS));
        return;
    }
    expect_that(false);
}

static void check_create_partitions(int16_t version)
{
    struct create_partitions_request_topic topics[4];
    struct create_partitions_request_assignment assignments[2];
    (void)version; /* all say the same */
    rig_open("");
    make_topic("orders");
    make_topic("returns");
    make_topic("others");
    grow(&topics[0], "orders", 5);
    for (int i = 0; i < 2; i++) {
        create_partitions_request_assignment_init(&assignments[i]);
        assignments[i].broker_ids = own_id;
        assignments[i].broker_ids_count = 1;
    }
    topics[0].assignments = assignments;
    topics[0].assignments_count = 2;
    grow(&topics[1], "returns", 3);
    grow(&topics[2], "nowhere", 9);
    grow(&topics[3], "others", 4);
    struct create_partitions_response told = create_partitions(topics, 4, false);
    expect_grown(&told, "orders", ERR_NONE);
    expect_grown(&told, "returns", ERR_INVALID_PARTITIONS);
    expect_grown(&told, "nowhere", ERR_UNKNOWN_TOPIC_OR_PARTITION);
    expect_grown(&told, "others", ERR_NONE);
    expect(partition_count_of("orders"), 5);
    expect(partition_count_of("returns"), 3);
    expect(partition_count_of("others"), 4);
    expect(append_records("orders", 4, 1), 0);

    grow(&topics[0], "orders", 9);
    told = create_partitions(topics, 1, true);
    expect_grown(&told, "orders", ERR_NONE);
    expect(partition_count_of("orders"), 5);
    rig_close();
}

/* -- DescribeTopicPartitions -------------------------------------------------------------------------- */

static void expect_described(const struct describe_topic_partitions_response_topic *topic, const char *name,
                             uuid id, int32_t first, int32_t count)
{
    expect(topic->error_code, ERR_NONE);
    expect_text(topic->name, name);
    expect_that(uuid_equal(topic->topic_id, id));
    expect(topic->is_internal, name[0] == '_');
    expect(topic->topic_authorized_operations, TOPIC_BITS);
    expect(topic->partitions_count, count);
    for (int32_t i = 0; i < count; i++) {
        const struct describe_topic_partitions_response_partition *partition = &topic->partitions[i];
        expect(partition->error_code, ERR_NONE);
        expect(partition->partition, first + i);
        expect(partition->leader_id, 1);
        expect(partition->leader_epoch, 0);
        expect(partition->replica_nodes_count, 1);
        expect(partition->replica_nodes[0], 1);
        expect(partition->isr_nodes_count, 1);
        expect(partition->isr_nodes[0], 1);
        expect(partition->offline_replicas_count, 0);
    }
}

static void check_describe_topic_partitions(int16_t version)
{
    static const char *const names[] = { "orders", "__consumer_offsets", "nowhere" };
    struct describe_topic_partitions_request request;
    struct describe_topic_partitions_request_topic topics[3];
    struct describe_topic_partitions_request_cursor cursor;
    struct describe_topic_partitions_response told;
    (void)version;
    rig_open("");
    uuid id = make_topic("orders"), internal = make_topic("__consumer_offsets");
    describe_topic_partitions_request_init(&request);
    for (int i = 0; i < 3; i++) {
        describe_topic_partitions_request_topic_init(&topics[i]);
        topics[i].name = slice_of_string(names[i]);
    }
    request.topics = topics;
    request.topics_count = 3;
    request.response_partition_limit = 52;
    ask(&request, &told); /* in the order of their names: 50, nothing, two of three */
    expect(told.throttle_time_ms, 0);
    expect(told.topics_count, 3);
    expect_described(&told.topics[0], "__consumer_offsets", internal, 0, 50);
    expect_text(told.topics[1].name, "nowhere");
    expect(told.topics[1].error_code, ERR_UNKNOWN_TOPIC_OR_PARTITION);
    expect(told.topics[1].partitions_count, 0);
    expect_described(&told.topics[2], "orders", id, 0, 2);
    expect_that(told.next_cursor != NULL);
    expect_text(told.next_cursor->topic_name, "orders");
    expect(told.next_cursor->partition_index, 2);

    describe_topic_partitions_request_cursor_init(&cursor);
    cursor.topic_name = SLICE_LITERAL("orders");
    cursor.partition_index = 2;
    request.cursor = &cursor;
    ask(&request, &told);
    expect(told.topics_count, 1);
    expect_described(&told.topics[0], "orders", id, 2, 1);
    expect_that(told.next_cursor == NULL);
    rig_close();
}

static const struct exemption describe_topic_partitions_untold[] = {
    { "throttle_time_ms", 0, NEVER_LAST, "no quotas" },
    { "topics.partitions.error_code", 0, NEVER_LAST, "the only node leads all, and is there" },
    { "topics.partitions.offline_replicas", 0, NEVER_LAST, "as above" },
    { "topics.partitions.eligible_leader_replicas", 0, NEVER_LAST, "as above" },
    { "topics.partitions.last_known_elr", 0, NEVER_LAST, "as above" },
    { 0 },
};

/* ----------------------------------------------------------------------------------------------------- */

static const struct exemption throttle_untold[] = { { "throttle_time_ms", 0, NEVER_LAST, "no quotas" },
                                                    { 0 } };

const struct check_row topic_rows[] = {
    { KEY_METADATA, check_metadata, NULL, metadata_untold },
    { KEY_CREATE_TOPICS, check_create_topics, NULL, create_topics_untold },
    { KEY_DELETE_TOPICS, check_delete_topics, NULL, throttle_untold },
    { KEY_DELETE_RECORDS, check_delete_records, NULL, throttle_untold },
    { KEY_CREATE_PARTITIONS, check_create_partitions, NULL, throttle_untold },
    { KEY_DESCRIBE_TOPIC_PARTITIONS, check_describe_topic_partitions, NULL,
      describe_topic_partitions_untold },
};
const size_t topic_row_count = sizeof topic_rows / sizeof *topic_rows;
