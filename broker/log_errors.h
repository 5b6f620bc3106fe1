/* Kafka's error codes for what a log says. */
#ifndef RUNNEL_BROKER_LOG_ERRORS_H
#define RUNNEL_BROKER_LOG_ERRORS_H

#include "protocol/errors.h"
#include "storage/log.h"

int16_t error_of_log(enum log_status status);

#endif
