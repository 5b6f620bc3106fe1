/* What the walk of an opening tells besides its own: leader epochs and producers. */
#include "storage/load_notes.h"

#include "storage/log_producers.h"

void load_notes_begin(struct load_notes *notes, struct log *log, const struct log_directory *directory,
                      int64_t first_base, int64_t proven)
{
    *notes = (struct load_notes){
        .log = log,
        .has_epochs = true,
        .first_base = first_base,
        .snapshot = directory->snapshot_count > 0 ? directory->snapshots[directory->snapshot_count - 1] : -1,
        .now_ms = clock_wall_ms(log->env->clock),
    };
    bool is_whole = notes->snapshot < 0 && directory->segment_count > 0 &&
                    directory->segments[0].base_offset == first_base;
    if (notes->snapshot >= first_base && notes->snapshot <= proven)
        is_whole = log__read_whole_snapshot(log, notes->snapshot, &notes->producers);
    notes->has_producers = is_whole;
}

void load_notes_end(struct load_notes *notes)
{
    producer_state_destroy(notes->producers);
    notes->producers = NULL;
    notes->has_epochs = notes->has_producers = false;
}

void load_notes_void(struct load_notes *notes)
{
    load_notes_end(notes);
}

static void add_epoch(struct load_notes *notes, int64_t segment_base, const struct batch_head *head)
{
    struct epoch_run *last = notes->run_count > 0 ? &notes->runs[notes->run_count - 1] : NULL;
    if (last && last->segment_base == segment_base && last->epoch == head->leader_epoch) {
        last->last_offset = head->last_offset;
        return;
    }
    if (notes->run_count == EPOCH_RUNS_MAX) {
        notes->has_epochs = false;
        return;
    }
    notes->runs[notes->run_count++] =
        (struct epoch_run){ segment_base, head->base_offset, head->last_offset, head->leader_epoch };
}

void load_notes_add(struct load_notes *notes, int64_t segment_base, const struct segment_scan *scan)
{
    if (notes->has_epochs)
        add_epoch(notes, segment_base, &scan->head);
    if (!notes->has_producers || scan->head.last_offset < notes->snapshot)
        return;
    if (log__note_scanned(notes->log, &notes->producers, scan, notes->now_ms) != LOG_OK) {
        producer_state_destroy(notes->producers);
        notes->producers = NULL;
        notes->has_producers = false;
    }
}

bool load_notes_put_epochs(const struct load_notes *notes, const struct segment *segment, int64_t from,
                           int32_t epoch_max, bool *has_memory)
{
    struct log *log = notes->log;
    *has_memory = true;
    if (!notes->has_epochs || segment->base_offset < notes->first_base)
        return false;
    for (uint32_t i = 0; i < notes->run_count; i++) {
        const struct epoch_run *run = &notes->runs[i];
        bool is_visited = run->segment_base == segment->base_offset && run->last_offset >= from;
        if (!is_visited || run->epoch <= leader_epochs_latest(&log->epochs) || run->epoch > epoch_max)
            continue;
        if (run->first_offset < from)
            return false; /* which of its batches would be the first one is not noted; none was put before it
                           */
        if (!leader_epochs_reserve(&log->epochs)) {
            *has_memory = false;
            return true;
        }
        leader_epochs_assign(&log->epochs, run->epoch, run->first_offset);
        log->epochs_dirty = true;
    }
    return true;
}

struct producer_state *load_notes_take_producers(struct load_notes *notes, int64_t snapshot, bool *is_known)
{
    struct producer_state *producers = notes->producers;
    *is_known = notes->has_producers && notes->snapshot == snapshot;
    if (!*is_known)
        return NULL;
    notes->producers = NULL;
    notes->has_producers = false;
    return producers;
}
