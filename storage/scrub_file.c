/* scrub.runnel: how far the pass that verifies everything came, for the next start. */
#include "storage/scrub_file.h"

#include "protocol/base/bytes.h"
#include "protocol/base/crc32c.h"

static const char MAGIC[] = "RunnelS1";

enum {
    AT_STARTED = 8,
    AT_TOPIC_ID = 16,
    AT_PARTITION = 32,
    AT_BASE_OFFSET = 36,
    AT_SIZE = 44,
    AT_QUARANTINED = 52,
    AT_INDEXES = 56,
    AT_IS_FINISHED = 60,
    AT_UNUSED = 61,
    AT_CRC = 76,
};

void scrub_file_encode(const struct scrub_file *file, uint8_t out[SCRUB_FILE_SIZE])
{
    memset(out, 0, SCRUB_FILE_SIZE);
    memcpy(out, MAGIC, AT_STARTED);
    store_be64(out + AT_STARTED, (uint64_t)file->started_ms);
    memcpy(out + AT_TOPIC_ID, file->topic_id.bytes, sizeof file->topic_id.bytes);
    store_be32(out + AT_PARTITION, (uint32_t)file->partition);
    store_be64(out + AT_BASE_OFFSET, (uint64_t)file->base_offset);
    store_be64(out + AT_SIZE, file->size);
    store_be32(out + AT_QUARANTINED, file->quarantined_count);
    store_be32(out + AT_INDEXES, file->index_count);
    out[AT_IS_FINISHED] = file->is_finished;
    store_be32(out + AT_CRC, crc32c(0, out, AT_CRC));
}

bool scrub_file_decode(slice bytes, struct scrub_file *out)
{
    const uint8_t *in = bytes.data;
    if (bytes.size != SCRUB_FILE_SIZE || memcmp(in, MAGIC, AT_STARTED) != 0 ||
        load_be32(in + AT_CRC) != crc32c(0, in, AT_CRC))
        return false;
    *out = (struct scrub_file){
        .started_ms = (int64_t)load_be64(in + AT_STARTED),
        .is_finished = in[AT_IS_FINISHED] == 1,
        .partition = (int32_t)load_be32(in + AT_PARTITION),
        .base_offset = (int64_t)load_be64(in + AT_BASE_OFFSET),
        .size = load_be64(in + AT_SIZE),
        .quarantined_count = load_be32(in + AT_QUARANTINED),
        .index_count = load_be32(in + AT_INDEXES),
    };
    memcpy(out->topic_id.bytes, in + AT_TOPIC_ID, sizeof out->topic_id.bytes);
    for (size_t i = AT_UNUSED; i < AT_CRC; i++) {
        if (in[i] != 0)
            return false;
    }
    return in[AT_IS_FINISHED] <= 1 && out->started_ms >= 0 && out->partition >= 0 && out->base_offset >= 0;
}
