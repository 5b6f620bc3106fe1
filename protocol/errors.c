/* Looks up names, sentences and retriability of Kafka's error codes. */
#include "protocol/errors.h"

#include <stddef.h>

struct error_row {
    const char *name;
    const char *message;
    bool retriable;
};

/* Indexed by code + 1: the codes run from -1 without a hole. */
static const struct error_row rows[] = {
#define ERROR_CODE(name, code, retriable, message) [(code) + 1] = { #name, message, retriable },
#include "protocol/errors.def"
#undef ERROR_CODE
};

static const struct error_row *find_row(int16_t code)
{
    size_t index = (size_t)(code + 1);
    if (code < -1 || index >= sizeof rows / sizeof rows[0] || rows[index].name == NULL)
        return NULL;
    return &rows[index];
}

const char *error_name(int16_t code)
{
    const struct error_row *row = find_row(code);
    return row ? row->name : "UNKNOWN";
}

const char *error_message(int16_t code)
{
    const struct error_row *row = find_row(code);
    return row ? row->message : "An error code that Kafka does not have.";
}

bool error_is_retriable(int16_t code)
{
    const struct error_row *row = find_row(code);
    return row && row->retriable;
}
