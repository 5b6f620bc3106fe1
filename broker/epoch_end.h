/* Where a leader epoch of a partition ends, for those who look for a point of divergence (KIP-101, KIP-320,
 * KIP-595). */
#ifndef RUNNEL_BROKER_EPOCH_END_H
#define RUNNEL_BROKER_EPOCH_END_H

#include "storage/log.h"

/* leader_epoch is the partition's now. Answers as log_epoch_end(): *epoch and *end_offset are -1 where it is
 * undefined. LOG_BUSY: log_open() on a worker, then ask again. */
enum log_status epoch_end_find(struct log *log, int32_t leader_epoch, int32_t requested, int32_t *epoch,
                               int64_t *end_offset);

#endif
