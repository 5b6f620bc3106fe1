/* How long a group takes until every member has its share: three of librdkafka on a broker that has just
 * started, and a thousand over sockets of their own. Arguments: settings of the broker, as name=value.
 * RUNNEL_ROUNDS: how often. */
#include "codec/apis.h"
#include "codec/consumer_group_heartbeat.h"
#include "codec/find_coordinator.h"
#include "codec/heartbeat.h"
#include "codec/join_group.h"
#include "codec/sync_group.h"
#include "protocol/base/check.h"
#include "protocol/base/clock.h"
#include "protocol/errors.h"
#include "tests/support/served.h"
#include "tests/support/wire_client.h"

#include <librdkafka/rdkafka.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    ROUNDS_MAX = 20,
    ROUNDS = 5, /* unless RUNNEL_ROUNDS says otherwise */
    REAL_MEMBERS = 3,
    SIMULATED_MEMBERS = 1000,
    SIMULATED_PARTITIONS = 1000,
    TEXT_SIZE = 160,
    HEARTBEAT_MS = 3000, /* of the classic protocol: the default of every client */
    RETRY_MS = 20,
    GIVE_UP_MS = 120000,
    ARGUMENTS_MAX = 24,
};

static const char topic[] = "settle";
static const char *arguments[2 * ARGUMENTS_MAX + 1];
static struct served served;
static int rounds = ROUNDS;

static double now_ms(void)
{
    return (double)clock_mono_ns(clock_real()) / 1e6;
}

static void give_up_after(double start_ms)
{
    if (now_ms() - start_ms < GIVE_UP_MS)
        return;
    fprintf(stderr, "settle_bench: not at rest after %d ms\n", GIVE_UP_MS);
    exit(1);
}

/* A broker that has just started on an empty directory, with the topic. */
static void start_broker(void)
{
    served_start(&served, RUNNEL_BINARY, arguments);
    char error[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", served.bootstrap, error, sizeof error);
    rd_kafka_t *producer = check_memory(rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error));
    check(rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_END) ==
          RD_KAFKA_RESP_ERR_NO_ERROR);
    check(rd_kafka_flush(producer, GIVE_UP_MS) == RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_destroy(producer);
}

/* --- three members of librdkafka ------------------------------------------------------------------- */

static int real_assigned[REAL_MEMBERS];

static void rebalanced(rd_kafka_t *client, rd_kafka_resp_err_t event,
                       rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
    int *count = opaque;
    bool is_assignment = event == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    *count += is_assignment ? partitions->cnt : -partitions->cnt;
    if (strcmp(rd_kafka_rebalance_protocol(client), "COOPERATIVE") == 0)
        rd_kafka_error_destroy(is_assignment ? rd_kafka_incremental_assign(client, partitions)
                                             : rd_kafka_incremental_unassign(client, partitions));
    else
        rd_kafka_assign(client, is_assignment ? partitions : NULL);
}

static rd_kafka_t *real_member(int number, const char *group, const char *const settings[])
{
    char error[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", served.bootstrap, error, sizeof error);
    rd_kafka_conf_set(conf, "group.id", group, error, sizeof error);
    for (; settings[0]; settings += 2)
        if (rd_kafka_conf_set(conf, settings[0], settings[1], error, sizeof error) != RD_KAFKA_CONF_OK) {
            rd_kafka_conf_destroy(conf);
            return NULL;
        }
    rd_kafka_conf_set_rebalance_cb(conf, rebalanced);
    rd_kafka_conf_set_opaque(conf, &real_assigned[number]);
    rd_kafka_t *client = check_memory(rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error));
    rd_kafka_poll_set_consumer(client);
    return client;
}

/* From the subscription of the first to the moment when each has one partition; -1: this librdkafka cannot.
 */
static double settle_real(const char *group, const char *const settings[])
{
    rd_kafka_t *members[REAL_MEMBERS];
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, topic, RD_KAFKA_PARTITION_UA);
    double start_ms = now_ms();
    int settled = 0;
    memset(real_assigned, 0, sizeof real_assigned);
    for (int i = 0; i < REAL_MEMBERS; i++) {
        members[i] = real_member(i, group, settings);
        if (!members[i]) {
            rd_kafka_topic_partition_list_destroy(topics);
            return -1;
        }
        check(rd_kafka_subscribe(members[i], topics) == RD_KAFKA_RESP_ERR_NO_ERROR);
    }
    while (settled < REAL_MEMBERS) {
        settled = 0;
        for (int i = 0; i < REAL_MEMBERS; i++) {
            rd_kafka_message_t *message = rd_kafka_consumer_poll(members[i], 1);
            if (message)
                rd_kafka_message_destroy(message);
        }
        for (int i = 0; i < REAL_MEMBERS; i++)
            settled += real_assigned[i] == 1;
        give_up_after(start_ms);
    }
    double took_ms = now_ms() - start_ms;
    rd_kafka_topic_partition_list_destroy(topics);
    for (int i = 0; i < REAL_MEMBERS; i++) {
        rd_kafka_consumer_close(members[i]);
        rd_kafka_destroy(members[i]);
    }
    return took_ms;
}

/* --- a thousand ---------------------------------------------------------------------------------------- */

enum step { JOINING, SYNCING, BEATING };

struct simulated {
    struct wire_client client;
    char id[TEXT_SIZE];
    int32_t generation; /* or member epoch */
    enum step step;
    bool is_waiting, is_leader; /* waiting: for an answer */
    double next_ms;             /* of its next heartbeat */
    int owned;
    struct consumer_group_heartbeat_request_topic_partition partitions; /* what it owns, to be said */
    int32_t numbers[SIMULATED_PARTITIONS];
    bool says_all;
};

static struct simulated *all;
static int32_t members_of_leader;
static slice *leader_ids;
static struct arena leader_arena;

static void copy_text(char out[TEXT_SIZE], slice text)
{
    check(text.size < TEXT_SIZE);
    memcpy(out, text.data, text.size);
    out[text.size] = '\0';
}

static void send_request(struct simulated *member, int16_t key, int16_t version, const void *request)
{
    check(wire_send(&member->client, key, version, request));
    member->is_waiting = true;
}

static void send_join(struct simulated *member)
{
    struct join_group_request request;
    struct join_group_request_protocol protocol = {
        .name = slice_of_string("range"), .metadata = slice_of("\0\1\0\0\0\1\0\6settle\xff\xff\xff\xff", 20)
    };
    join_group_request_init(&request);
    request.group_id = slice_of_string("thousand");
    request.member_id = slice_of_string(member->id);
    request.session_timeout_ms = 45000;
    request.rebalance_timeout_ms = 300000;
    request.protocol_type = slice_of_string("consumer");
    request.protocols = &protocol;
    request.protocols_count = 1;
    member->step = JOINING;
    send_request(member, API_KEY_JOIN_GROUP, 9, &request);
}

static void send_sync(struct simulated *member)
{
    struct sync_group_request request;
    struct sync_group_request_assignment *shares = NULL;
    sync_group_request_init(&request);
    request.group_id = slice_of_string("thousand");
    request.generation_id = member->generation;
    request.member_id = slice_of_string(member->id);
    request.protocol_type = slice_of_string("consumer");
    request.protocol_name = slice_of_string("range");
    if (member->is_leader) {
        shares = check_memory(calloc((size_t)members_of_leader, sizeof *shares));
        for (int32_t i = 0; i < members_of_leader; i++)
            shares[i] = (struct sync_group_request_assignment){
                .member_id = leader_ids[i],
                .assignment = slice_of("\0\1\0\0\0\1\0\6settle\0\0\0\1\0\0\0\7\xff\xff\xff\xff", 28)
            };
        request.assignments = shares;
        request.assignments_count = members_of_leader;
    }
    member->step = SYNCING;
    send_request(member, API_KEY_SYNC_GROUP, 5, &request);
    free(shares);
}

static void note_roster(const struct join_group_response *response)
{
    arena_reset(&leader_arena);
    members_of_leader = response->members_count;
    leader_ids =
        check_memory(arena_alloc_array(&leader_arena, (size_t)members_of_leader, sizeof *leader_ids));
    for (int32_t i = 0; i < members_of_leader; i++) {
        uint8_t *copy = check_memory(arena_alloc(&leader_arena, response->members[i].member_id.size));
        memcpy(copy, response->members[i].member_id.data, response->members[i].member_id.size);
        leader_ids[i] = slice_of(copy, response->members[i].member_id.size);
    }
}

static void take_join(struct simulated *member)
{
    struct join_group_response response;
    check(wire_receive(&member->client, API_KEY_JOIN_GROUP, 9, member->client.correlation_id, &response));
    if (response.error_code != ERR_NONE) {
        if (response.error_code == ERR_MEMBER_ID_REQUIRED)
            copy_text(member->id, response.member_id);
        send_join(member);
        return;
    }
    copy_text(member->id, response.member_id);
    member->generation = response.generation_id;
    member->is_leader = response.members_count > 0;
    if (member->is_leader)
        note_roster(&response);
    send_sync(member);
}

static void take_sync(struct simulated *member)
{
    struct sync_group_response response;
    check(wire_receive(&member->client, API_KEY_SYNC_GROUP, 5, member->client.correlation_id, &response));
    if (response.error_code != ERR_NONE) {
        send_join(member);
        return;
    }
    member->step = BEATING;
    member->owned = 1;
    member->next_ms = now_ms() + HEARTBEAT_MS;
}

static void send_classic_heartbeat(struct simulated *member)
{
    struct heartbeat_request request;
    heartbeat_request_init(&request);
    request.group_id = slice_of_string("thousand");
    request.generation_id = member->generation;
    request.member_id = slice_of_string(member->id);
    send_request(member, API_KEY_HEARTBEAT, 4, &request);
}

static void take_classic(struct simulated *member)
{
    struct heartbeat_response response;
    if (member->step == JOINING) {
        take_join(member);
    } else if (member->step == SYNCING) {
        take_sync(member);
    } else {
        check(wire_receive(&member->client, API_KEY_HEARTBEAT, 4, member->client.correlation_id, &response));
        member->next_ms = now_ms() + HEARTBEAT_MS;
        if (response.error_code != ERR_NONE)
            send_join(member);
    }
}

static void send_consumer_heartbeat(struct simulated *member)
{
    struct consumer_group_heartbeat_request request;
    slice name = slice_of_string(topic);
    consumer_group_heartbeat_request_init(&request);
    request.group_id = slice_of_string("thousand-848");
    request.member_id = slice_of_string(member->id);
    request.member_epoch = member->generation;
    if (member->generation == 0) {
        request.rebalance_timeout_ms = 300000;
        request.subscribed_topic_names = &name;
        request.subscribed_topic_names_count = 1;
    }
    if (member->says_all) {
        request.topic_partitions = &member->partitions;
        request.topic_partitions_count = member->owned > 0;
    }
    member->says_all = false;
    send_request(member, API_KEY_CONSUMER_GROUP_HEARTBEAT, 1, &request);
}

/* It takes what it is given and gives back what it is not, at once, and says so with the next heartbeat at
 * once. */
static void take_consumer(struct simulated *member)
{
    struct consumer_group_heartbeat_response response;
    check(wire_receive(&member->client, API_KEY_CONSUMER_GROUP_HEARTBEAT, 1, member->client.correlation_id,
                       &response));
    if (response.error_code == ERR_NOT_COORDINATOR || response.error_code == ERR_COORDINATOR_NOT_AVAILABLE ||
        response.error_code == ERR_COORDINATOR_LOAD_IN_PROGRESS) {
        member->says_all = true;
        member->next_ms = now_ms() + RETRY_MS;
        return;
    }
    if (response.error_code != ERR_NONE) {
        fprintf(stderr, "settle_bench: error %d for a member of epoch %d\n", response.error_code,
                member->generation);
        exit(1);
    }
    member->generation = response.member_epoch;
    member->next_ms = now_ms() + response.heartbeat_interval_ms;
    if (!response.assignment)
        return;
    member->owned = 0;
    for (int32_t t = 0; t < response.assignment->topic_partitions_count; t++) {
        member->partitions.topic_id = response.assignment->topic_partitions[t].topic_id;
        member->owned = response.assignment->topic_partitions[t].partitions_count;
        memcpy(member->numbers, response.assignment->topic_partitions[t].partitions,
               (size_t)member->owned * sizeof *member->numbers);
    }
    member->partitions.partitions = member->numbers;
    member->partitions.partitions_count = member->owned;
    member->says_all = true;
    member->next_ms = now_ms();
}

static bool are_settled(bool is_classic)
{
    int owned = 0;
    for (int i = 0; i < SIMULATED_MEMBERS; i++) {
        owned += all[i].owned;
        if (all[i].generation != all[0].generation || (is_classic && all[i].step != BEATING) ||
            all[i].generation == 0)
            return false;
    }
    return owned == (is_classic ? SIMULATED_MEMBERS : SIMULATED_PARTITIONS);
}

static void find_coordinator(struct wire_client *client, const char *group)
{
    struct find_coordinator_request request;
    struct find_coordinator_response response;
    slice key = slice_of_string(group);
    find_coordinator_request_init(&request);
    request.coordinator_keys = &key;
    request.coordinator_keys_count = 1;
    do
        check(wire_call(client, API_KEY_FIND_COORDINATOR, 4, &request, &response));
    while (response.coordinators[0].error_code != ERR_NONE);
}

static void open_members(const char *group, bool is_classic)
{
    all = check_memory(calloc(SIMULATED_MEMBERS, sizeof *all));
    arena_init(&leader_arena, NULL);
    for (int i = 0; i < SIMULATED_MEMBERS; i++) {
        check(wire_connect(&all[i].client, served.bootstrap, GIVE_UP_MS));
        if (!is_classic)
            snprintf(all[i].id, sizeof all[i].id, "member-%04d-of-the-thousand", i);
        all[i].says_all = true;
    }
    find_coordinator(&all[0].client, group);
}

static void close_members(void)
{
    for (int i = 0; i < SIMULATED_MEMBERS; i++)
        wire_close(&all[i].client);
    arena_destroy(&leader_arena);
    free(all);
}

/* The connections and the coordinator are there already; from the first join on. */
static double settle_simulated(bool is_classic)
{
    struct pollfd *waits = check_memory(calloc(SIMULATED_MEMBERS, sizeof *waits));
    open_members(is_classic ? "thousand" : "thousand-848", is_classic);
    double start_ms = now_ms();
    for (int i = 0; i < SIMULATED_MEMBERS; i++) {
        waits[i] = (struct pollfd){ .fd = all[i].client.descriptor, .events = POLLIN };
        if (is_classic)
            send_join(&all[i]);
        else
            send_consumer_heartbeat(&all[i]);
    }
    while (!are_settled(is_classic)) {
        poll(waits, SIMULATED_MEMBERS, 1);
        for (int i = 0; i < SIMULATED_MEMBERS; i++) {
            if (waits[i].revents) {
                all[i].is_waiting = false;
                (is_classic ? take_classic : take_consumer)(&all[i]);
            }
            if (!all[i].is_waiting && now_ms() >= all[i].next_ms)
                (is_classic ? send_classic_heartbeat : send_consumer_heartbeat)(&all[i]);
        }
        give_up_after(start_ms);
    }
    double took_ms = now_ms() - start_ms;
    close_members();
    free(waits);
    return took_ms;
}

/* --- what is printed ------------------------------------------------------------------------------------ */

static int by_value(const void *left, const void *right)
{
    const double *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

static void print_row(const char *name, double *took_ms, int count)
{
    if (count == 0) {
        printf("  %-58s this librdkafka cannot\n", name);
        return;
    }
    qsort(took_ms, (size_t)count, sizeof *took_ms, by_value);
    printf("  %-58s %8.0f %8.0f %8.0f\n", name, took_ms[count / 2], took_ms[0], took_ms[count - 1]);
}

static void measure_real(const char *name, const char *const settings[])
{
    char text[128];
    double cold[ROUNDS_MAX], warm[ROUNDS_MAX];
    int count = 0;
    for (int i = 0; i < rounds; i++) {
        start_broker();
        double first_ms = settle_real("first", settings);
        if (first_ms >= 0) {
            cold[count] = first_ms;
            warm[count++] = settle_real("second", settings);
        }
        served_stop(&served);
        if (first_ms < 0)
            break;
    }
    snprintf(text, sizeof text, "3 of librdkafka, %s, cold start", name);
    print_row(text, cold, count);
    snprintf(text, sizeof text, "3 of librdkafka, %s, the next group", name);
    print_row(text, warm, count);
}

static void measure_simulated(const char *name, bool is_classic)
{
    double took_ms[ROUNDS_MAX];
    for (int i = 0; i < rounds; i++) {
        start_broker();
        took_ms[i] = settle_simulated(is_classic);
        served_stop(&served);
    }
    print_row(name, took_ms, rounds);
}

static void set_arguments(const char *partitions, int argument_count, char **given)
{
    int count = 0;
    memset(arguments, 0, sizeof arguments);
    arguments[count++] = "--override";
    arguments[count++] = partitions;
    for (int i = 1; i < argument_count && i < ARGUMENTS_MAX; i++) {
        arguments[count++] = "--override";
        arguments[count++] = given[i];
    }
}

int main(int argument_count, char **given)
{
    static const char *const range[] = { "partition.assignment.strategy", "range", NULL };
    static const char *const cooperative[] = { "partition.assignment.strategy", "cooperative-sticky", NULL };
    static const char *const consumer[] = { "group.protocol", "consumer", NULL };
    const char *asked = getenv("RUNNEL_ROUNDS");
    if (asked && atoi(asked) > 0)
        rounds = atoi(asked) < ROUNDS_MAX ? atoi(asked) : ROUNDS_MAX;
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("until every member has its share, ms (librdkafka %s)%*s %8s %8s %8s\n", rd_kafka_version_str(),
           (int)(14 - strlen(rd_kafka_version_str())), "", "median", "least", "most");
    set_arguments("num.partitions=3", argument_count, given);
    measure_real("range", range);
    measure_real("cooperative-sticky", cooperative);
    measure_real("KIP-848", consumer);
    set_arguments("num.partitions=1000", argument_count, given);
    measure_simulated("1,000 over sockets, classic", true);
    measure_simulated("1,000 over sockets, KIP-848, 1,000 partitions", false);
    return EXIT_SUCCESS;
}
