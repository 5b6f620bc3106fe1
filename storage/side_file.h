/* Our own .runnel files in a log directory: the table of logs, which of them were written since, and the
 * durable positions.
 *
 * All may be deleted at any time at the cost of time only. After a clean stop the table is believed beside a
 * marker with the same nonce. After an unclean one there is no marker; then a row is believed when the marks
 * beside the table, with the same nonce, are whole and do not have its name. All else there and the positions
 * are lower bounds of what is durable. Nothing of it counts once somebody but us used the directory
 * (directory.h: may_be_foreign). */
#ifndef RUNNEL_STORAGE_SIDE_FILE_H
#define RUNNEL_STORAGE_SIDE_FILE_H

#include "protocol/base/uuid.h"
#include "storage/log_internal.h"

#define SIDE_TABLE_NAME     "logs.runnel"
#define SIDE_POSITIONS_NAME "durable.runnel"
#define SIDE_MARKS_NAME     "written.runnel"

/* One log at a clean stop. */
struct side_row {
    uuid topic_id;
    int32_t partition;
    slice topic; /* borrowed */
    struct log_row row;
};

/* Builds the table, from side_table_begin() to side_table_end(). */
struct side_table_writer {
    uint8_t *bytes;
    size_t size;
    size_t capacity;
    uint32_t count;
    bool failed; /* no memory; stays */
};

void side_table_begin(struct side_table_writer *writer, uuid nonce);
void side_table_add(struct side_table_writer *writer, const struct side_row *row);
/* The whole table, borrowed until side_table_free(); null when memory failed. */
slice side_table_end(struct side_table_writer *writer);
void side_table_free(struct side_table_writer *writer);

/* Reads rows one after the other. */
struct side_table_reader {
    slice rest;
    uint32_t left;
    uuid nonce;
};

/* False unless the whole file is as it was written. */
bool side_table_open(slice bytes, struct side_table_reader *out);
/* row->topic is borrowed from the bytes. False at the end. */
bool side_table_next(struct side_table_reader *reader, struct side_row *row);

/* What is on the device of one log: a lower bound. */
struct side_position {
    uuid topic_id;
    int32_t partition;
    struct log_position durable;
    int64_t start_offset; /* -1: not known */
};

/* A header, then records of one size; a record is added at the end when a log's durable end rose, so
 * the last good one of a log counts. */
enum { SIDE_POSITIONS_HEADER_SIZE = 28, SIDE_POSITION_SIZE = 52 };

/* directory_id: of the log directory, so that a copied file is not believed elsewhere. */
void side_positions_encode_header(uuid directory_id, uint8_t out[SIDE_POSITIONS_HEADER_SIZE]);
void side_position_encode(const struct side_position *position, uint8_t out[SIDE_POSITION_SIZE]);
/* Calls visit for every good record, in the file's order. False when the header is not that of this
 * directory. */
bool side_positions_parse(slice bytes, uuid directory_id,
                          void (*visit)(void *context, const struct side_position *position), void *context);

/* Names of partition directories of which the table's row is no longer true, or may not be soon: each is on
 * the device before the first change. A header, then records of different sizes. */
enum {
    SIDE_MARKS_HEADER_SIZE = 44,
    SIDE_MARK_NAME_MAX = 255,
    SIDE_MARK_SIZE_MAX = 2 + SIDE_MARK_NAME_MAX + 4
};

/* nonce: of the table that they belong to. */
void side_marks_encode_header(uuid directory_id, uuid nonce, uint8_t out[SIDE_MARKS_HEADER_SIZE]);
/* Returns the size, in bytes. */
size_t side_mark_encode(slice name, uint8_t out[SIDE_MARK_SIZE_MAX]);
/* Calls visit for every record. False when the header is another's or anything is not as it was written: a
 * mark that cannot be read may be of any log. */
bool side_marks_parse(slice bytes, uuid directory_id, uuid nonce, void (*visit)(void *context, slice name),
                      void *context);

#endif
