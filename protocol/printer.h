/* A printer turns values and messages into bounded, escaped text for traces and debugging. */
#ifndef RUNNEL_PROTOCOL_PRINTER_H
#define RUNNEL_PROTOCOL_PRINTER_H

#include "protocol/codec.h"

/* text is always NUL-ended; what does not fit is cut, and then `cut` is set. */
struct printer {
    char *text;      /* borrowed */
    size_t capacity; /* with the NUL; at least 1 */
    size_t size;     /* without it */
    bool cut;
    bool hide_entities; /* names and ids of topics, groups ... become a hash, so that a trace can be shown
                           around */
};

void printer_init(struct printer *printer, char *text, size_t capacity);

/* Adds text as it is. */
void printer_text(struct printer *printer, const char *text);

/* entity: the schema's kind of thing that a value names, or NULL. */
void printer_int(struct printer *printer, int64_t value);
void printer_double(struct printer *printer, double value);
void printer_bool(struct printer *printer, bool value);
void printer_uuid(struct printer *printer, uuid value, const char *entity);
/* Quoted; quotes, backslashes and what is not printable ASCII escaped; cut after 256 bytes. */
void printer_string(struct printer *printer, slice value, const char *entity);
/* The size and the first bytes in hex. */
void printer_bytes(struct printer *printer, slice value);

#endif
