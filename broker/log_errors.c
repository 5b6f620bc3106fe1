/* Translates what storage says into what clients are told. */
#include "broker/log_errors.h"

#include "protocol/base/check.h"

int16_t error_of_log(enum log_status status)
{
    switch (status) {
    case LOG_OK:
    case LOG_NOT_FOUND: /* an answer, not an error: offset -1 */
        return ERR_NONE;
    case LOG_OUT_OF_RANGE:
        return ERR_OFFSET_OUT_OF_RANGE;
    case LOG_CORRUPT:
        return ERR_CORRUPT_MESSAGE;
    case LOG_TOO_LARGE:
        return ERR_RECORD_LIST_TOO_LARGE;
    case LOG_BAD_SEQUENCE:
        return ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    case LOG_BAD_EPOCH:
        return ERR_INVALID_PRODUCER_EPOCH;
    /* All of these are retriable for a client. What a worker could not repair either (busy, cold) is
     * a matter of storage for it, as a full disk is in Kafka. */
    case LOG_BUSY:
    case LOG_COLD:
    case LOG_LIMIT:
    case LOG_DISK_FULL:
    case LOG_IO:
        return ERR_KAFKA_STORAGE_ERROR;
    case LOG_CLOSED: /* deleted, and no image has it any more */
        return ERR_UNKNOWN_TOPIC_OR_PARTITION;
    }
    check_unreachable("log_status");
}
