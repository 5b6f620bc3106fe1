/* Talks to the broker before a run, by blocking calls of the test client. */
#include "tests/bench/load/setup.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "protocol/base/check.h"
#include "protocol/errors.h"
#include "tests/support/load.h"
#include "tests/support/one_partition.h"
#include "tests/support/one_request.h"
#include "tests/support/wire_client.h"

enum {
    TIMEOUT_MS = 60000,
    LEADERS_SECONDS = 60,
    KNOWN_SECONDS = 5,
    PAUSE_MS = 10,
    METADATA_VERSION = 9,
    LIST_OFFSETS_VERSION = 6,
    BATCH_SIZE_USUAL = 1000000
};

static void pause_ms(int ms)
{
    const struct timespec time = { .tv_nsec = ms * 1000000L };
    clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

static void open_client(struct wire_client *client, const struct plan *plan)
{
    if (!wire_connect(client, plan->bootstrap, TIMEOUT_MS))
        load_fail("nobody listens on %s", plan->bootstrap);
}

static void call(struct wire_client *client, int16_t key, int16_t version, const void *request,
                 void *response)
{
    if (!wire_call(client, key, version, request, response))
        load_fail("no answer to api key %d", key);
}

static void refuse(const char *what, int16_t code)
{
    if (code != ERR_NONE)
        load_fail("%s: error code %d", what, code);
}

/* --- the topic ----------------------------------------------------------------------------------- */

static void add_config(struct one_create *one, const char *name, size_t name_size, const char *value)
{
    struct create_topics_request_config *config;
    for (int32_t i = 0; i < one->topic.configs_count; i++)
        if (slice_equal(one->configs[i].name, slice_of(name, name_size)))
            return;
    check(one->topic.configs_count < ONE_SETTINGS_MAX);
    config = &one->configs[one->topic.configs_count++];
    create_topics_request_config_init(config);
    config->name = slice_of(name, name_size);
    config->value = slice_of_string(value);
}

void setup_create_topic(const struct plan *plan)
{
    struct wire_client client;
    struct one_create one;
    struct create_topics_response response;
    one_create(&one, plan->topic, plan->partitions, NULL);
    for (int i = 0; i < plan->settings.count; i++) {
        const char *item = plan->settings.items[i], *equals = strchr(item, '=');
        add_config(&one, item, (size_t)(equals - item), equals + 1);
    }
    /* The first of a name counts: what was said stays. */
    add_config(&one, "retention.ms", strlen("retention.ms"), "-1");
    add_config(&one, "retention.bytes", strlen("retention.bytes"), "-1");
    if (plan->batch_size > BATCH_SIZE_USUAL || plan->record_size > BATCH_SIZE_USUAL)
        add_config(&one, "max.message.bytes", strlen("max.message.bytes"), "16777216");
    one.request.timeout_ms = TIMEOUT_MS;
    open_client(&client, plan);
    call(&client, ONE_CREATE, ONE_CREATE_VERSION, &one.request, &response);
    refuse("CreateTopics",
           response.topics_count == 1 ? response.topics[0].error_code : ERR_UNKNOWN_SERVER_ERROR);
    wire_close(&client);
}

static bool all_led(const struct metadata_response *response, int partitions)
{
    if (response->topics_count != 1 || response->topics[0].error_code != ERR_NONE)
        return false;
    if (response->topics[0].partitions_count != partitions)
        load_fail("the topic has %d partitions, not %d", response->topics[0].partitions_count, partitions);
    for (int32_t i = 0; i < partitions; i++)
        if (response->topics[0].partitions[i].leader_id < 0)
            return false;
    return true;
}

static bool metadata_is_there(const struct plan *plan, struct wire_client *client)
{
    struct one_metadata one;
    struct metadata_response response;
    one_metadata(&one, slice_of_string(plan->topic));
    one.request.allow_auto_topic_creation = false;
    call(client, ONE_METADATA, METADATA_VERSION, &one.request, &response);
    return all_led(&response, plan->partitions);
}

/* --- offsets ------------------------------------------------------------------------------------- */

/* Error code of the first partition that has one. */
static int16_t ask_offsets(const struct plan *plan, struct wire_client *client, int64_t timestamp,
                           int64_t *out)
{
    struct one_list_offsets one;
    struct list_offsets_response response;
    struct list_offsets_request_partition *partitions =
        check_memory(calloc((size_t)plan->partitions, sizeof *partitions));
    int16_t error = ERR_NONE;
    one_list_offsets(&one, plan->topic, 0, timestamp);
    for (int32_t i = 0; i < plan->partitions; i++) {
        partitions[i] = one.partition;
        partitions[i].partition = i;
    }
    one.topic.partitions = partitions;
    one.topic.partitions_count = plan->partitions;
    call(client, ONE_LIST_OFFSETS, LIST_OFFSETS_VERSION, &one.request, &response);
    free(partitions);
    check(response.topics_count == 1);
    for (int32_t i = 0; i < response.topics[0].partitions_count && error == ERR_NONE; i++) {
        const struct list_offsets_response_partition *partition = &response.topics[0].partitions[i];
        error = partition->error_code;
        check(partition->partition >= 0 && partition->partition < plan->partitions);
        out[partition->partition] = partition->offset;
    }
    return error;
}

void setup_offsets(const struct plan *plan, int64_t timestamp, int64_t *out)
{
    struct wire_client client;
    open_client(&client, plan);
    refuse("ListOffsets", ask_offsets(plan, &client, timestamp, out));
    wire_close(&client);
}

/* Kafka's metadata may name a leader that does not know it yet: so the leaders themselves are asked. */
void setup_await_leaders(const struct plan *plan)
{
    double until = monotonic_seconds() + (plan->create ? LEADERS_SECONDS : KNOWN_SECONDS);
    struct wire_client client;
    int64_t *offsets = check_memory(calloc((size_t)plan->partitions, sizeof *offsets));
    open_client(&client, plan);
    while (!metadata_is_there(plan, &client) || ask_offsets(plan, &client, -1, offsets) != ERR_NONE) {
        if (monotonic_seconds() > until)
            load_fail("topic %s is not there, or has no leaders", plan->topic);
        pause_ms(PAUSE_MS);
    }
    wire_close(&client);
    free(offsets);
}

/* --- producer ids -------------------------------------------------------------------------------- */

void setup_producer_ids(const struct plan *plan, int64_t *out, int count)
{
    double until = monotonic_seconds() + LEADERS_SECONDS;
    struct wire_client client;
    open_client(&client, plan);
    for (int i = 0; i < count;) {
        struct init_producer_id_request request;
        struct init_producer_id_response response;
        one_init_producer(&request);
        call(&client, ONE_INIT_PRODUCER, ONE_INIT_PRODUCER_VERSION, &request, &response);
        if (response.error_code == ERR_COORDINATOR_LOAD_IN_PROGRESS && monotonic_seconds() < until)
            continue; /* Kafka fetches its next block of ids */
        refuse("InitProducerId", response.error_code);
        out[i++] = response.producer_id;
    }
    wire_close(&client);
}
