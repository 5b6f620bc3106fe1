/* Opening the directory of a log: what is trusted, what is scanned, what is cut or quarantined. */
#ifndef RUNNEL_STORAGE_RECOVERY_H
#define RUNNEL_STORAGE_RECOVERY_H

#include "storage/log_struct.h"

/* How a directory is opened. */
struct recovery_plan {
    bool unclean;                /* scan with CRC from durable on, rebuild, flush; else change no byte */
    struct log_position durable; /* what is known to be on the device */
    /* Offsets below this were durable: damage there is quarantined. INT64_MAX: all that a clean stop left,
     * end unknown. */
    int64_t proven;
    bool tidy;      /* complete what Kafka's cleaner began, remove leftovers (unclean: always) */
    bool untouched; /* not even a first segment is made, nor is anything read that only appends need */
    const struct log_row
        *row;             /* what a clean stop of ours left; LOG_CORRUPT when the files differ. Or NULL */
    int64_t start_offset; /* checkpointed log start offset; -1: none */
};

/* Opens the log by the plan and publishes it. Under prepare_mutex; nobody uses the log yet but readers that
 * see it as not open. LOG_NOT_FOUND: no directory. out may be NULL. */
enum log_status log__load(struct log *log, const struct recovery_plan *plan, struct log_recovery *out);

/* Walks a sealed segment with all CRCs because a read met something odd: rebuilds a wrong index in
 * memory, quarantines damage. Under prepare_mutex. May block. */
enum log_status log__examine(struct log *log, struct segment *segment, int64_t next_base);

#endif
