/* The small files of a log directory: names, meta.properties, partition.metadata, the clean-stop marker. */
#include <check.h>
#include <stdlib.h>

#include "storage/directory.h"
#include "storage/file_double.h"
#include "storage/partition_metadata.h"

static const struct {
    const char *name;
    enum directory_name_kind kind;
    const char *topic;
    int32_t partition;
} names[] = {
    { "orders-0", DIRECTORY_PARTITION, "orders", 0 },
    { "a-b.c_d-12", DIRECTORY_PARTITION, "a-b.c_d", 12 },
    { "__consumer_offsets-49", DIRECTORY_PARTITION, "__consumer_offsets", 49 },
    { "t-2147483647", DIRECTORY_PARTITION, "t", INT32_MAX },
    { "t-2147483648", DIRECTORY_OTHER, NULL, 0 },
    { "t-", DIRECTORY_OTHER, NULL, 0 },
    { "-0", DIRECTORY_OTHER, NULL, 0 },
    { "t", DIRECTORY_OTHER, NULL, 0 },
    { "t-x", DIRECTORY_OTHER, NULL, 0 },
    { "t-1x", DIRECTORY_OTHER, NULL, 0 },
    { "orders-0.0123456789abcdef0123456789abcdef-delete", DIRECTORY_DELETE, "orders", 0 },
    { "a.b-3.0123456789abcdef0123456789abcdef-stray", DIRECTORY_STRAY, "a.b", 3 },
    { "orders-7.0123456789abcdef0123456789abcdef-future", DIRECTORY_FUTURE, "orders", 7 },
    { "orders-delete", DIRECTORY_OTHER, NULL, 0 },
    { "x-delete-4", DIRECTORY_PARTITION, "x-delete", 4 },
};

START_TEST(parses_names)
{
    slice topic;
    int32_t partition;
    enum directory_name_kind kind = directory_parse_name(names[_i].name, &topic, &partition);

    ck_assert_msg(kind == names[_i].kind, "%s", names[_i].name);
    if (kind == DIRECTORY_OTHER)
        return;
    ck_assert_msg(slice_equal_string(topic, names[_i].topic), "%s", names[_i].name);
    ck_assert_int_eq(partition, names[_i].partition);
}
END_TEST

START_TEST(unique_names_fit)
{
    char topic[250];
    char name[DIRECTORY_NAME_SIZE];
    slice parsed;
    int32_t partition;
    uuid id = { { 0xab, 1 } };

    memset(topic, 'x', 249);
    topic[249] = '\0';
    directory_unique_name(slice_of_string(topic), INT32_MAX, id, "delete", name);
    ck_assert_uint_eq(strlen(name), 255);
    ck_assert_int_eq(directory_parse_name(name, &parsed, &partition), DIRECTORY_DELETE);
    ck_assert_int_eq(partition, INT32_MAX);
    directory_unique_name(slice_of_string("t"), 3, id, "stray", name);
    ck_assert_str_eq(name, "t-3.ab010000000000000000000000000000-stray");
}
END_TEST

static const struct {
    const char *what;
    const char *text;
    bool ok;
    int32_t version;
    int32_t node_id;
    const char *cluster_id;
} metas[] = {
    { "as Kafka writes it",
      "#\n#Sat Nov 22 16:43:00 UTC "
      "2025\ncluster.id=MkU3OEVBNTcwNTJENDM2Qg\ndirectory.id=AAECAwQFBgcICQoLDA0ODw\n"
      "node.id=1\nversion=1\n",
      true, 1, 1, "MkU3OEVBNTcwNTJENDM2Qg" },
    { "other separators and blanks", "version : 1\n  node.id\t2\r\ncluster.id=c\r\n!x\n\n", true, 1, 2, "c" },
    { "escapes and a joined line", "version=1\nnode.id=3\ncluster.id=a\\:b\\=c\\\n   d\n", true, 1, 3,
      "a:b=cd" },
    { "ZooKeeper mode", "version=0\nbroker.id=5\n", true, 0, 5, "" },
    { "nothing", "", true, -1, -1, "" },
    { "an unknown key", "version=1\nfoo=bar\nnode.id=1", true, 1, 1, "" },
    { "a version of the future", "version=2\n", false, 0, 0, "" },
    { "a node id that is no number", "version=1\nnode.id=one\n", false, 0, 0, "" },
    { "a node id beyond int32", "version=1\nnode.id=2147483648\n", false, 0, 0, "" },
    { "a directory id that is none", "version=1\ndirectory.id=short\n", false, 0, 0, "" },
    { "an empty cluster id", "version=1\ncluster.id=\n", false, 0, 0, "" },
};

START_TEST(parses_meta_properties)
{
    struct meta_properties meta;
    bool ok = meta_properties_parse(slice_of_string(metas[_i].text), &meta);

    ck_assert_msg(ok == metas[_i].ok, "%s", metas[_i].what);
    if (!ok)
        return;
    ck_assert_msg(meta.version == metas[_i].version && meta.node_id == metas[_i].node_id, "%s",
                  metas[_i].what);
    ck_assert_str_eq(meta.cluster_id, metas[_i].cluster_id);
}
END_TEST

START_TEST(writes_meta_properties)
{
    struct meta_properties meta = {
        .cluster_id = "a b:c=d", .node_id = 4, .version = 1, .directory_id = { { 1 } }
    };
    struct meta_properties again;
    char *text = meta_properties_text(&meta);

    ck_assert(meta_properties_parse(slice_of_string(text), &again));
    ck_assert_str_eq(again.cluster_id, meta.cluster_id);
    ck_assert_int_eq(again.node_id, 4);
    ck_assert(uuid_equal(again.directory_id, meta.directory_id));
    free(text);
}
END_TEST

static const struct {
    const char *what;
    const char *text;
    bool ok;
} partition_metas[] = {
    { "as Kafka writes it", "version: 0\ntopic_id: AAECAwQFBgcICQoLDA0ODw", true },
    { "a line end more", "version: 0\ntopic_id: AAECAwQFBgcICQoLDA0ODw\n", true },
    { "the zero id", "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA", false },
    { "no id", "version: 0\n", false },
    { "a torn file", "version: 0\ntopic_id: AAECAwQFBgcICQ", false },
    { "zeros", "\0\0\0", false },
    { "a negative version", "version: -1\ntopic_id: AAECAwQFBgcICQoLDA0ODw", false },
    { "something behind", "version: 0\ntopic_id: AAECAwQFBgcICQoLDA0ODw x", false },
};

START_TEST(parses_partition_metadata)
{
    uuid id;

    ck_assert_msg(partition_metadata_parse(slice_of_string(partition_metas[_i].text), &id) ==
                      partition_metas[_i].ok,
                  "%s", partition_metas[_i].what);
}
END_TEST

START_TEST(writes_partition_metadata)
{
    struct file_double *disk = file_double_create();
    struct file_system *files = file_double_system(disk);
    uuid id = { { 7, 8, 9 } };
    uuid read;

    ck_assert_int_eq(file_make_directory(files, "/t-0"), FILE_OK);
    ck_assert_int_eq(partition_metadata_read(files, "/t-0", &read), FILE_NOT_FOUND);
    ck_assert_int_eq(partition_metadata_write(files, "/t-0", id, NULL), FILE_OK);
    ck_assert_int_eq(partition_metadata_read(files, "/t-0", &read), FILE_OK);
    ck_assert(uuid_equal(id, read));
    file_double_destroy(disk);
}
END_TEST

static const struct {
    const char *text;
    bool has_nonce;
} markers[] = {
    { "{\"version\":0,\"brokerEpoch\":-1,\"runnel\":\"AAECAwQFBgcICQoLDA0ODw\"}", true },
    { "{ \"runnel\" : \"AAECAwQFBgcICQoLDA0ODw\" }", true },
    { "{\"version\":0,\"brokerEpoch\":42}", false },
    { "", false },
    { "\"runnel\"", false },
    { "\"runnel\":", false },
    { "\"runnel\":\"AAECAwQFBgcICQoLDA0OD", false },
    { "\"runnel\":\"AAECAwQFBgcICQoLDA0ODw", false },
};

START_TEST(parses_clean_markers)
{
    ck_assert_msg(uuid_is_zero(clean_marker_parse(slice_of_string(markers[_i].text))) !=
                      markers[_i].has_nonce,
                  "%s", markers[_i].text);
}
END_TEST

START_TEST(writes_clean_markers)
{
    struct file_double *disk = file_double_create();
    struct file_system *files = file_double_system(disk);
    struct clean_marker marker;
    uuid nonce = { { 1, 2, 3, 0xff } };

    ck_assert_int_eq(clean_marker_read(files, "/", &marker), FILE_OK);
    ck_assert(!marker.is_present);
    ck_assert_int_eq(clean_marker_write(files, "/", nonce), FILE_OK);
    ck_assert_int_eq(clean_marker_read(files, "/", &marker), FILE_OK);
    ck_assert(marker.is_present && uuid_equal(marker.nonce, nonce));
    file_double_destroy(disk);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("directory");
    TCase *tcase = tcase_create("all");

    tcase_add_loop_test(tcase, parses_names, 0, sizeof names / sizeof *names);
    tcase_add_test(tcase, unique_names_fit);
    tcase_add_loop_test(tcase, parses_meta_properties, 0, sizeof metas / sizeof *metas);
    tcase_add_test(tcase, writes_meta_properties);
    tcase_add_loop_test(tcase, parses_partition_metadata, 0,
                        sizeof partition_metas / sizeof *partition_metas);
    tcase_add_test(tcase, writes_partition_metadata);
    tcase_add_loop_test(tcase, parses_clean_markers, 0, sizeof markers / sizeof *markers);
    tcase_add_test(tcase, writes_clean_markers);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
