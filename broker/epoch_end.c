/* Finds the end of a leader epoch: in the log's history, and where that does not reach, by the metadata. */
#include "broker/epoch_end.h"

enum { UNKNOWN_EPOCH = -1 };

/* Kafka's history has an epoch from its election on, the log's only from the first record on: until
 * then a leader's epoch begins at the log's end. */
enum log_status epoch_end_find(struct log *log, int32_t leader_epoch, int32_t requested, int32_t *epoch,
                               int64_t *end_offset)
{
    enum log_status status = log_epoch_end(log, requested, epoch, end_offset);
    if (status != LOG_OK || *epoch >= 0 || requested < 0 || requested > leader_epoch)
        return status;
    int64_t end = log_offsets(log).end;
    int32_t newest = UNKNOWN_EPOCH;
    status = log_epoch_at(log, end, &newest);
    *end_offset = end;
    *epoch = requested == leader_epoch || newest < 0 ? requested : newest;
    return status;
}
