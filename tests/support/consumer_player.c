/* Plays members of a consumer group. */
#include "tests/support/consumer_player.h"

#include <stdio.h>

#include "codec/find_coordinator.h"
#include "protocol/base/check.h"
#include "protocol/errors.h"

enum { KEY_FIND = 10, KEY_HEARTBEAT = 68, KEY_DESCRIBE = 69, FIND_VERSION = 4, SETTLE_STEP_MS = 100 };

void player_init(struct consumer_player *player, int number)
{
    *player = (struct consumer_player){
        .version = 1, .group = "group", .name_count = 0, .rebalance_timeout_ms = 30000, .says_all = true
    };
    snprintf(player->id, sizeof player->id, "member-%03d", number);
}

void player_disconnect(struct consumer_player *player)
{
    if (player->is_connected)
        sim_disconnect(&player->client);
    player->is_connected = false;
}

void player_connect(struct sim *sim, struct consumer_player *player)
{
    player_disconnect(player);
    sim_connect(sim, &player->client);
    player->is_connected = true;
}

/* -- sets -------------------------------------------------------------------------------------- */

bool player_has(const struct player_set *set, uuid topic, int32_t partition)
{
    for (int i = 0; i < set->count; i++)
        if (set->items[i].partition == partition && uuid_equal(set->items[i].topic, topic))
            return true;
    return false;
}

bool player_sets_equal(const struct player_set *a, const struct player_set *b)
{
    if (a->count != b->count)
        return false;
    for (int i = 0; i < a->count; i++)
        if (!player_has(b, a->items[i].topic, a->items[i].partition))
            return false;
    return true;
}

void player_obey(struct consumer_player *player)
{
    if (player_sets_equal(&player->owned, &player->target))
        return;
    player->owned = player->target;
    player->has_news = true;
}

/* -- heartbeats -------------------------------------------------------------------------------- */

struct said {
    struct consumer_group_heartbeat_request request;
    slice names[PLAYER_NAMES];
    struct consumer_group_heartbeat_request_topic_partition topics[PLAYER_OWNED];
    int32_t partitions[PLAYER_OWNED];
};

static void say_owned(const struct player_set *owned, struct said *said)
{
    int32_t count = 0;
    for (int i = 0; i < owned->count; i++) {
        said->partitions[i] = owned->items[i].partition;
        consumer_group_heartbeat_request_topic_partition_init(&said->topics[count]);
        said->topics[count].topic_id = owned->items[i].topic;
        said->topics[count].partitions = &said->partitions[i];
        said->topics[count].partitions_count = 1;
        count++;
    }
    said->request.topic_partitions = said->topics;
    said->request.topic_partitions_count = count;
}

static void say_all(const struct consumer_player *player, struct said *said)
{
    said->request.rebalance_timeout_ms = player->rebalance_timeout_ms;
    said->request.server_assignor = slice_of_string(player->assignor);
    said->request.rack_id = slice_of_string(player->rack);
    if (player->version >= 1)
        said->request.subscribed_topic_regex = slice_of_string(player->regex);
    for (int i = 0; i < player->name_count; i++)
        said->names[i] = slice_of_string(player->names[i]);
    said->request.subscribed_topic_names = said->names;
    said->request.subscribed_topic_names_count = player->name_count;
}

bool player_send(struct consumer_player *player)
{
    static struct said said;
    consumer_group_heartbeat_request_init(&said.request);
    said.request.group_id = slice_of_string(player->group);
    said.request.member_id = slice_of_string(player->id);
    said.request.member_epoch = player->epoch;
    said.request.instance_id = slice_of_string(player->instance);
    if (player->says_all || player->epoch == 0)
        say_all(player, &said);
    if (player->says_all || player->has_news || player->epoch == 0)
        say_owned(&player->owned, &said);
    player->has_news = false;
    return sim_send(&player->client, KEY_HEARTBEAT, player->version, &said.request);
}

static void take_assignment(struct consumer_player *player,
                            const struct consumer_group_heartbeat_response_assignment *assignment)
{
    player->target.count = 0;
    for (int32_t t = 0; t < assignment->topic_partitions_count; t++)
        for (int32_t p = 0; p < assignment->topic_partitions[t].partitions_count; p++) {
            check(player->target.count < PLAYER_OWNED);
            player->target.items[player->target.count++] =
                (struct player_partition){ assignment->topic_partitions[t].topic_id,
                                           assignment->topic_partitions[t].partitions[p] };
        }
}

static void lose_all(struct consumer_player *player)
{
    player->owned.count = player->target.count = 0;
    player->epoch = 0;
    player->says_all = true;
    player->has_news = false;
}

int16_t player_receive(struct consumer_player *player)
{
    struct consumer_group_heartbeat_response response;
    player->was_assigned = false;
    if (!sim_receive(&player->client, KEY_HEARTBEAT, player->version, &response)) {
        player->says_all = true;
        return -1;
    }
    size_t size = response.error_message.size < sizeof player->message - 1 ? response.error_message.size
                                                                           : sizeof player->message - 1;
    if (size > 0)
        memcpy(player->message, response.error_message.data, size);
    player->message[size] = '\0';
    if (response.error_code == ERR_FENCED_MEMBER_EPOCH || response.error_code == ERR_UNKNOWN_MEMBER_ID ||
        response.error_code == ERR_GROUP_ID_NOT_FOUND)
        lose_all(player);
    if (response.error_code != ERR_NONE) {
        player->says_all = true;
        return response.error_code;
    }
    player->says_all = false;
    player->epoch = response.member_epoch;
    player->interval_ms = response.heartbeat_interval_ms;
    check(response.member_id.size < sizeof player->id);
    memcpy(player->id, response.member_id.data, response.member_id.size);
    player->id[response.member_id.size] = '\0';
    if (response.assignment) {
        take_assignment(player, response.assignment);
        player->was_assigned = true;
    }
    return ERR_NONE;
}

int16_t player_beat(struct consumer_player *player)
{
    return player_send(player) ? player_receive(player) : -1;
}

int16_t player_leave(struct consumer_player *player, int32_t epoch)
{
    int32_t before = player->epoch;
    player->epoch = epoch;
    player->says_all = player->has_news = false;
    int16_t error_code = player_send(player) ? player_receive(player) : -1;
    check(error_code != ERR_NONE || player->epoch == epoch);
    player->epoch = before;
    lose_all(player);
    return error_code;
}

int players_settle(struct consumer_player *const *players, int count, int rounds_max)
{
    int quiet = 0, rounds = 0;
    for (; rounds < rounds_max && quiet < 2; rounds++) {
        bool is_quiet = true;
        for (int i = 0; i < count; i++) {
            int32_t epoch = players[i]->epoch;
            if (player_beat(players[i]) != ERR_NONE || players[i]->epoch != epoch ||
                !player_sets_equal(&players[i]->owned, &players[i]->target))
                is_quiet = false;
            player_obey(players[i]);
            sim_settle(players[i]->client.sim);
        }
        quiet = is_quiet ? quiet + 1 : 0;
        sim_advance(players[0]->client.sim, SETTLE_STEP_MS);
    }
    return rounds;
}

/* -- around ------------------------------------------------------------------------------------ */

void player_find_coordinator(struct consumer_player *player)
{
    struct find_coordinator_request request;
    struct find_coordinator_response response;
    slice key = slice_of_string(player->group);
    find_coordinator_request_init(&request);
    request.coordinator_keys = &key;
    request.coordinator_keys_count = 1;
    check(sim_call(&player->client, KEY_FIND, FIND_VERSION, &request, &response));
    sim_settle(player->client.sim);
    check(sim_call(&player->client, KEY_FIND, FIND_VERSION, &request, &response));
    check(response.coordinators_count == 1 && response.coordinators[0].error_code == ERR_NONE);
}

struct consumer_group_describe_response_group player_describe(struct sim_client *client, const char *group)
{
    struct consumer_group_describe_request request;
    struct consumer_group_describe_response response;
    slice id = slice_of_string(group);
    consumer_group_describe_request_init(&request);
    request.group_ids = &id;
    request.group_ids_count = 1;
    check(sim_call(client, KEY_DESCRIBE, 1, &request, &response) && response.groups_count == 1);
    return response.groups[0];
}
