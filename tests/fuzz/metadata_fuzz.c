/* Metadata records and snapshots of any content: read, replayed, built; refused, never believed blindly. */
#include <stdlib.h>

#include "broker/image_internal.h"
#include "broker/metadata_files.h"
#include "broker/metadata_replay.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct config *shared_config(void)
{
    static struct config *config;
    if (!config) {
        note_set_level(NOTE_ERROR);
        struct config_report report = { 0 };
        struct config_sources sources = { .cpu_count = 1 };
        config = check_memory(config_load(&sources, &report));
        config_report_destroy(&report);
    }
    return config;
}

/* The law of an image that was built from whatever. */
static void image_law(const struct image *image)
{
    size_t partition_count = 0;
    for (size_t i = 0; i < image->topic_count; i++) {
        const struct topic *topic = image->topics[i];
        check(image_topic_by_name(image, topic->name_slice) == topic);
        check(image_topic_by_id(image, topic->id) == topic);
        for (int32_t p = 0; p < topic->partition_count; p++)
            check(topic->partitions[p].replica_count > 0);
        partition_count += (size_t)topic->partition_count;
    }
    check(partition_count == image->partition_count);
}

/* First byte 0: the rest is a snapshot. Else: records, each with a length of one byte in front. */
static void replay_input(struct metadata_replay *replay, slice input)
{
    if (input.size > 0 && input.data[0] == 0) {
        slice bytes = slice_of(input.data + 1, input.size - 1);
        metadata_snapshot_is_whole(bytes);
        metadata_batches_read(bytes, 0, metadata_replay_visit, replay);
        return;
    }
    size_t at = 1;
    while (at < input.size) {
        size_t length = input.data[at++];
        if (length > input.size - at)
            length = input.size - at;
        metadata_replay_record(replay, slice_of(input.data + at, length), (int64_t)at);
        at += length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t key[2] = { 5, 6 };
    struct image *base = check_memory(image_create_empty(1, NULL, key));
    struct image_change *change = check_memory(image_change_begin(base, shared_config()));
    struct metadata_replay replay;
    struct image *image;
    metadata_replay_init(&replay, change, 1);
    replay_input(&replay, slice_of(data, size));
    if (image_change_build(change, 1, 1, &image) == CHANGE_OK)
        image_law(image);
    metadata_replay_destroy(&replay);
    image_change_abandon(change);
    image_destroy(base);
    return 0;
}
