/* Kafka's hash of topics: values that Kafka's own library gave. */
#include "broker/group/topic_hash.h"

#include <check.h>
#include <stdlib.h>

#include "protocol/base/bytes.h"

enum { PARTITIONS_MAX = 100 };

static struct partition_metadata partitions[PARTITIONS_MAX];
static const int32_t replica = 1;

static struct topic make(const char *name, uint64_t high, uint64_t low, int32_t partition_count)
{
    struct topic topic = { .name = name, .partition_count = partition_count, .partitions = partitions };
    store_be64(topic.id.bytes, high);
    store_be64(topic.id.bytes + 8, low);
    for (int32_t p = 0; p < PARTITIONS_MAX; p++)
        partitions[p] = (struct partition_metadata){ .replica_count = 1, .replicas = &replica };
    return topic;
}

START_TEST(golden)
{
    struct node node = { .id = 1 };
    struct image image = { .nodes = &node, .node_count = 1 };
    struct topic orders = make("orders", 0x0123456789abcdef, 0xfedcba9876543210, 3);
    struct topic other = make("a-topic.with_a-long-name", 1, 2, 100);
    const struct topic *all[] = { &other, &orders };
    ck_assert_uint_eq((uint64_t)topic_hash(&image, &orders), 0x7d22da17ec1a2b53);
    ck_assert_uint_eq((uint64_t)topic_hash(&image, &other), 0xb3c406baf7ccbdae);
    ck_assert_uint_eq((uint64_t)topic_hash_all(&image, all, 2), 0xe713d7eaff21981b);
    ck_assert_int_eq(topic_hash_all(&image, all, 0), 0);
    node.rack = "rack-a";
    ck_assert_uint_eq((uint64_t)topic_hash(&image, &orders), 0x048ee4415ce4440e);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("topic_hash");
    TCase *cases = tcase_create("topic_hash");
    tcase_add_test(cases, golden);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
