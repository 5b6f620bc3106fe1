/* Keeps what this program passes over in the metadata log. */
#include "broker/metadata_kept.h"

void metadata_kept_init(struct metadata_kept *kept)
{
    *kept = (struct metadata_kept){ .kraft_version = SLICE_NULL, .voters = SLICE_NULL };
    arena_init(&kept->arena, NULL);
}

void metadata_kept_destroy(struct metadata_kept *kept)
{
    arena_destroy(&kept->arena);
}

bool metadata_kept_add(struct metadata_kept *kept, slice value)
{
    if (kept->count == kept->capacity) {
        size_t capacity = kept->capacity ? 2 * kept->capacity : 16;
        slice *records = arena_alloc_array(&kept->arena, capacity, sizeof *records);
        if (!records)
            return false;
        if (kept->count > 0)
            memcpy(records, kept->records, kept->count * sizeof *records);
        kept->records = records;
        kept->capacity = capacity;
    }
    bool ok = true;
    kept->records[kept->count] = arena_copy(&kept->arena, value, &ok);
    kept->count += ok;
    return ok;
}

bool metadata_kept_control(struct metadata_kept *kept, int control_type, slice value)
{
    bool ok = true;
    if (control_type == CONTROL_RECORD_KRAFT_VERSION)
        kept->kraft_version = arena_copy(&kept->arena, value, &ok);
    if (control_type == CONTROL_RECORD_VOTERS)
        kept->voters = arena_copy(&kept->arena, value, &ok);
    return ok;
}
