/* Kafka's error codes, from the one table errors.def. */
#ifndef RUNNEL_PROTOCOL_ERRORS_H
#define RUNNEL_PROTOCOL_ERRORS_H

#include <stdbool.h>
#include <stdint.h>

enum error_code {
#define ERROR_CODE(name, code, retriable, message) ERR_##name = code,
#include "protocol/errors.def"
#undef ERROR_CODE
};

/* "UNKNOWN_TOPIC_OR_PARTITION" ...; "UNKNOWN" for a code that Kafka does not have. */
const char *error_name(int16_t code);
/* One sentence for people. */
const char *error_message(int16_t code);
bool error_is_retriable(int16_t code);

#endif
