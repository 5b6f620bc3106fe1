/* Metadata images: names, look-ups, and the next image as records change it. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/image_change.h"
#include "broker/image_internal.h"

static const uint64_t key[2] = { 1, 2 };
static struct config *config;
static struct image *image;

static void set_up(void)
{
    struct config_report report = { 0 };
    struct config_sources sources = { .cpu_count = 1 };
    config = config_load(&sources, &report);
    ck_assert_ptr_nonnull(config);
    config_report_destroy(&report);
    image = image_create_empty(7, "rack-1", key);
    ck_assert_ptr_nonnull(image);
}

static void tear_down(void)
{
    image_destroy(image);
    config_destroy(config);
}

static slice text(const char *of)
{
    return slice_of_string(of);
}

static uuid id_of(unsigned number)
{
    uuid id = UUID_ZERO;
    id.bytes[0] = 0x40;
    for (int i = 0; i < 4; i++)
        id.bytes[15 - i] = (uint8_t)(number >> (8 * i));
    return id;
}

static struct partition_metadata on_node(int32_t *node)
{
    return (struct partition_metadata){
        .leader = *node, .replica_count = 1, .isr_count = 1, .replicas = node, .isr = node
    };
}

static void add_topic(struct image_change *change, const char *name, unsigned number, int32_t partition_count)
{
    int32_t node = 7;
    struct partition_metadata metadata = on_node(&node);
    ck_assert_int_eq(image_change_add_topic(change, text(name), id_of(number)), CHANGE_OK);
    for (int32_t i = 0; i < partition_count; i++)
        ck_assert_int_eq(image_change_set_partition(change, id_of(number), i, &metadata), CHANGE_OK);
}

static struct image_change *begin(void)
{
    struct image_change *change = image_change_begin(image, config);
    ck_assert_ptr_nonnull(change);
    return change;
}

/* What the controller leaves to retire() is freed at once. */
static void free_before(void *context, const struct topic *before, struct topic *after)
{
    (void)context;
    (void)after;
    image__topic_free((void *)before);
}

static void publish(struct image_change *change)
{
    struct image *next;
    ck_assert_int_eq(image_change_build(change, image->end_offset + 5, 1, &next), CHANGE_OK);
    struct image *before = image;
    image = next;
    image_change_visit(change, free_before, NULL);
    image_change_end(change);
    image__free(before);
}

/* The image's own law, looked at from all sides. */
static void expect_whole(size_t topic_count, size_t partition_count)
{
    size_t partitions = 0;
    ck_assert_uint_eq(image->topic_count, topic_count);
    for (size_t i = 0; i < image->topic_count; i++) {
        const struct topic *topic = image->topics[i];
        if (i > 0)
            ck_assert_int_lt(strcmp(image->topics[i - 1]->name, topic->name), 0);
        ck_assert_ptr_eq(image_topic_by_name(image, topic->name_slice), topic);
        ck_assert_ptr_eq(image_topic_by_id(image, topic->id), topic);
        partitions += (size_t)topic->partition_count;
    }
    ck_assert_uint_eq(partitions, partition_count);
    ck_assert_uint_eq(image->partition_count, partition_count);
    ck_assert_uint_eq(image->by_name->count, topic_count);
    ck_assert_uint_eq(image->by_id->count, topic_count);
}

static const struct {
    const char *what;
    const char *name;
    bool ok;
} names[] = {
    { "plain", "orders", true },
    { "every kind of character", "aZ0._-", true },
    { "one character", "a", true },
    { "dots inside", "a..b", true },
    { "empty", "", false },
    { "a dot", ".", false },
    { "two dots", "..", false },
    { "three dots", "...", true },
    { "a blank", "a b", false },
    { "a slash", "a/b", false },
    { "not ASCII", "\xc3\xa9", false },
    { "a colon", "a:b", false },
};

START_TEST(names_are_judged_as_in_kafka)
{
    const char *why;
    ck_assert_msg(topic_name_valid(text(names[_i].name), &why) == names[_i].ok, "%s", names[_i].what);
    ck_assert_msg((why == NULL) == names[_i].ok, "%s", names[_i].what);
}
END_TEST

START_TEST(names_end_at_249)
{
    char long_name[250];
    const char *why;
    memset(long_name, 'x', sizeof long_name);
    ck_assert(topic_name_valid(slice_of(long_name, 249), &why));
    ck_assert(!topic_name_valid(slice_of(long_name, 250), &why));
    ck_assert(!topic_name_valid(slice_of("a\0b", 3), &why));
}
END_TEST

START_TEST(an_empty_image_answers)
{
    expect_whole(0, 0);
    ck_assert_ptr_null(image_topic_by_name(image, text("a")));
    ck_assert_ptr_null(image_topic_by_id(image, id_of(1)));
    ck_assert_ptr_null(image_topic_colliding(image, text("a.b")));
    ck_assert_int_eq(image->nodes[0].id, 7);
    ck_assert_str_eq(image->nodes[0].rack, "rack-1");
    ck_assert_int_eq(image->controller_id, 7);
}
END_TEST

START_TEST(topics_come_and_go)
{
    struct image_change *change = begin();
    add_topic(change, "b", 2, 3);
    add_topic(change, "a", 1, 1);
    add_topic(change, "__consumer_offsets", 3, 2);
    publish(change);
    expect_whole(3, 6);
    ck_assert(image_topic_by_name(image, text("__consumer_offsets"))->is_internal);
    ck_assert(!image_topic_by_name(image, text("a"))->is_internal);
    const struct topic *kept = image_topic_by_name(image, text("a"));

    change = begin();
    add_topic(change, "c", 4, 1);
    ck_assert_int_eq(image_change_remove_topic(change, id_of(2)), CHANGE_OK);
    ck_assert(!image_change_has_topic(change, text("b")));
    ck_assert_uint_eq(image_change_partition_count(change), 4);
    publish(change);
    expect_whole(3, 4);
    ck_assert_ptr_null(image_topic_by_name(image, text("b")));
    ck_assert_ptr_null(image_topic_by_id(image, id_of(2)));
    ck_assert_msg(image_topic_by_name(image, text("a")) == kept, "what does not change is shared");
    ck_assert_int_eq(image->end_offset, 10);
}
END_TEST

START_TEST(a_name_comes_back_with_another_id)
{
    struct image_change *change = begin();
    add_topic(change, "a", 1, 2);
    publish(change);
    change = begin();
    ck_assert_int_eq(image_change_remove_topic(change, id_of(1)), CHANGE_OK);
    add_topic(change, "a", 2, 1);
    ck_assert_int_eq(image_change_remove_topic(change, id_of(2)), CHANGE_OK);
    add_topic(change, "a", 3, 4);
    publish(change);
    expect_whole(1, 4);
    ck_assert(uuid_equal(image_topic_by_name(image, text("a"))->id, id_of(3)));
}
END_TEST

START_TEST(partitions_and_settings_change)
{
    struct image_change *change = begin();
    int32_t nodes[2] = { 7, 8 };
    add_topic(change, "a", 1, 1);
    ck_assert_int_eq(image_change_set_config(change, text("a"), text("retention.ms"), text("5")), CHANGE_OK);
    ck_assert_int_eq(image_change_set_config(change, text("a"), text("segment.bytes"), text("1048576")),
                     CHANGE_OK);
    publish(change);
    ck_assert_int_eq(image->topics[0]->config.retention_ms, 5);
    ck_assert_int_eq(image->topics[0]->config.segment_bytes, 1048576);

    change = begin();
    struct partition_metadata metadata = *image_change_partition(change, id_of(1), 0);
    metadata.leader_epoch = 9;
    metadata.replicas = nodes;
    metadata.replica_count = 2;
    ck_assert_int_eq(image_change_set_partition(change, id_of(1), 0, &metadata), CHANGE_OK);
    ck_assert_int_eq(image_change_set_partition(change, id_of(1), 1, &metadata), CHANGE_OK);
    ck_assert_int_eq(image_change_set_config(change, text("a"), text("retention.ms"), SLICE_NULL), CHANGE_OK);
    ck_assert_int_eq(image_change_set_config(change, text("nobody"), text("retention.ms"), text("1")),
                     CHANGE_OK);
    publish(change);
    expect_whole(1, 2);
    const struct topic *topic = image->topics[0];
    ck_assert_uint_eq(topic->override_count, 1);
    ck_assert(slice_equal_string(topic->overrides[0].name, "segment.bytes"));
    ck_assert_int_eq(topic->config.retention_ms, config->topic_defaults.retention_ms);
    ck_assert_int_eq(topic->partitions[0].leader_epoch, 9);
    ck_assert_int_eq(topic->partitions[0].replica_count, 2);
    ck_assert_int_eq(topic->partitions[0].replicas[1], 8);
    ck_assert_int_eq(topic->partitions[0].isr_count, 1);
    ck_assert_int_eq(topic->partitions[0].isr[0], 7);
}
END_TEST

START_TEST(dots_and_underscores_collide)
{
    struct image_change *change = begin();
    add_topic(change, "a.b_c", 1, 1);
    publish(change);
    ck_assert_ptr_nonnull(image_topic_colliding(image, text("a_b.c")));
    ck_assert_ptr_nonnull(image_topic_colliding(image, text("a.b_c")));
    ck_assert_ptr_null(image_topic_colliding(image, text("a-b_c")));
    ck_assert_ptr_null(image_topic_by_name(image, text("a_b_c")));

    change = begin();
    ck_assert(slice_equal_string(image_change_colliding(change, text("a.b.c")), "a.b_c"));
    add_topic(change, "x_y", 2, 1);
    ck_assert(slice_equal_string(image_change_colliding(change, text("x.y")), "x_y"));
    ck_assert_int_eq(image_change_remove_topic(change, id_of(1)), CHANGE_OK);
    ck_assert(slice_is_null(image_change_colliding(change, text("a.b.c"))));
    image_change_abandon(change);
}
END_TEST

START_TEST(features_are_kept)
{
    struct image_change *change = begin();
    ck_assert_int_eq(image_change_set_feature(change, text("metadata.version"), 25), CHANGE_OK);
    ck_assert_int_eq(image_change_set_feature(change, text("group.version"), 1), CHANGE_OK);
    publish(change);
    change = begin();
    ck_assert_int_eq(image_change_feature(change, "metadata.version"), 25);
    ck_assert_int_eq(image_change_set_feature(change, text("metadata.version"), 29), CHANGE_OK);
    ck_assert_int_eq(image_change_set_feature(change, text("group.version"), 0), CHANGE_OK);
    publish(change);
    ck_assert_uint_eq(image->feature_count, 1);
    ck_assert_str_eq(image->features[0].name, "metadata.version");
    ck_assert_int_eq(image->features[0].level, 29);
}
END_TEST

START_TEST(contradictions_are_refused)
{
    struct image_change *change = begin();
    int32_t node = 7;
    struct partition_metadata metadata = on_node(&node);
    add_topic(change, "a", 1, 1);
    ck_assert_int_eq(image_change_add_topic(change, text("a"), id_of(2)), CHANGE_REFUSED);
    ck_assert_int_eq(image_change_add_topic(change, text("b"), id_of(1)), CHANGE_REFUSED);
    ck_assert_int_eq(image_change_add_topic(change, text("b"), UUID_ZERO), CHANGE_REFUSED);
    ck_assert_int_eq(image_change_add_topic(change, text("../b"), id_of(3)), CHANGE_REFUSED);
    ck_assert_int_eq(image_change_remove_topic(change, id_of(9)), CHANGE_REFUSED);
    ck_assert_int_eq(image_change_set_partition(change, id_of(9), 0, &metadata), CHANGE_REFUSED);
    ck_assert_int_eq(image_change_set_partition(change, id_of(1), -1, &metadata), CHANGE_REFUSED);
    ck_assert_int_eq(image_change_set_partition(change, id_of(1), INT32_MAX, &metadata), CHANGE_REFUSED);
    ck_assert_str_ne(image_change_error(change), "");
    image_change_abandon(change);

    change = begin();
    struct image *next;
    add_topic(change, "a", 1, 1);
    ck_assert_int_eq(image_change_set_partition(change, id_of(1), 2, &metadata), CHANGE_OK);
    ck_assert_ptr_null(image_change_partition(change, id_of(1), 1));
    ck_assert_msg(image_change_build(change, 1, 1, &next) == CHANGE_REFUSED, "partition 1 is missing");
    image_change_abandon(change);

    change = begin();
    add_topic(change, "a", 1, 0);
    ck_assert_msg(image_change_build(change, 1, 1, &next) == CHANGE_REFUSED, "no partition at all");
    image_change_abandon(change);
    expect_whole(0, 0);
}
END_TEST

START_TEST(an_abandoned_change_leaves_no_trace)
{
    struct image_change *change = begin();
    struct image *next;
    add_topic(change, "a", 1, 1);
    publish(change);
    change = begin();
    add_topic(change, "b", 2, 1);
    ck_assert_int_eq(image_change_remove_topic(change, id_of(1)), CHANGE_OK);
    ck_assert_int_eq(image_change_build(change, 99, 1, &next), CHANGE_OK);
    image_change_abandon(change);
    expect_whole(1, 1);
}
END_TEST

/* Model: an array of ids by name. Random steps, several per image. */
START_TEST(many_random_changes_agree_with_a_model)
{
    enum { NAMES = 60, ROUNDS = 400 };
    unsigned model[NAMES] = { 0 }, next_id = 1;
    struct random random;
    random_seed(&random, 20251122);
    for (int round = 0; round < ROUNDS; round++) {
        struct image_change *change = begin();
        for (uint64_t steps = random_below(&random, 8); steps > 0; steps--) {
            char name[16];
            unsigned n = (unsigned)random_below(&random, NAMES);
            snprintf(name, sizeof name, "topic-%u", n);
            ck_assert(image_change_has_topic(change, text(name)) == (model[n] != 0));
            if (model[n]) {
                ck_assert_int_eq(image_change_remove_topic(change, id_of(model[n])), CHANGE_OK);
                model[n] = 0;
            } else {
                add_topic(change, name, model[n] = next_id++, (int32_t)(1 + random_below(&random, 3)));
            }
        }
        publish(change);
        size_t count = 0;
        for (unsigned n = 0; n < NAMES; n++) {
            char name[16];
            snprintf(name, sizeof name, "topic-%u", n);
            const struct topic *topic = image_topic_by_name(image, text(name));
            ck_assert((topic != NULL) == (model[n] != 0));
            if (topic)
                ck_assert(uuid_equal(topic->id, id_of(model[n])));
            count += model[n] != 0;
        }
        expect_whole(count, image->partition_count);
    }
}
END_TEST

/* One image per topic, as auto-creation makes them: must not take seconds. */
START_TEST(ten_thousand_topics_one_by_one)
{
    enum { TOPICS = 10000 };
    for (unsigned i = 1; i <= TOPICS; i++) {
        char name[16];
        snprintf(name, sizeof name, "topic-%u", i * 7919 % TOPICS);
        struct image_change *change = begin();
        add_topic(change, name, i, 1);
        publish(change);
    }
    expect_whole(TOPICS, TOPICS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("image");
    TCase *tests = tcase_create("image");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, names_are_judged_as_in_kafka, 0, sizeof names / sizeof names[0]);
    tcase_add_test(tests, names_end_at_249);
    tcase_add_test(tests, an_empty_image_answers);
    tcase_add_test(tests, topics_come_and_go);
    tcase_add_test(tests, a_name_comes_back_with_another_id);
    tcase_add_test(tests, partitions_and_settings_change);
    tcase_add_test(tests, dots_and_underscores_collide);
    tcase_add_test(tests, features_are_kept);
    tcase_add_test(tests, contradictions_are_refused);
    tcase_add_test(tests, an_abandoned_change_leaves_no_trace);
    tcase_add_test(tests, many_random_changes_agree_with_a_model);
    tcase_add_test(tests, ten_thousand_topics_one_by_one);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
