/* The logger: one event a line on stderr. (Log, the word, always means a partition log.) */
#ifndef RUNNEL_PROTOCOL_BASE_NOTE_H
#define RUNNEL_PROTOCOL_BASE_NOTE_H

#include "protocol/base/slice.h"

enum note_level { NOTE_ERROR, NOTE_WARN, NOTE_INFO, NOTE_DEBUG };

/* event is `what.happened`; format gives ` key=value` pairs, and for the operator the next step.
 * One line with time and level in front, written by a single write(2); any thread. At most 4 KiB,
 * the rest is cut. An error needs a person, a warning was repaired, info marks a change of state. */
#define note_error(event, ...) note_line(NOTE_ERROR, event, __VA_ARGS__)
#define note_warn(event, ...) note_line(NOTE_WARN, event, __VA_ARGS__)
#define note_info(event, ...) note_line(NOTE_INFO, event, __VA_ARGS__)
#define note_debug(event, ...) note_line(NOTE_DEBUG, event, __VA_ARGS__)

void note_line(enum note_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Lines above this level are dropped; NOTE_INFO at first. */
void note_set_level(enum note_level level);
/* Where lines go; descriptor 2 at first. Tests hand in a pipe. */
void note_set_fd(int fd);

/* For what a client sent: quotes, escapes control characters, quotes, backslashes and non-UTF-8
 * bytes, cuts after 128 bytes. The result is borrowed and lives until the next 8 calls on this
 * thread. */
const char *note_escape(slice bytes);

/* At most `per_second` lines of one kind: true when this one may be written. Used in front of
 * lines that a client can cause at will; every suppressed line is counted in the next one that
 * passes (*suppressed). */
struct note_limit {
    _Atomic int64_t second;
    _Atomic uint32_t count;
    _Atomic uint32_t suppressed_count;
};
bool note_allow(struct note_limit *limit, uint32_t per_second, uint32_t *suppressed);

#endif
