/* .kafka_cleanshutdown: the last thing that a clean stop writes, and the first that a start undoes. */
#ifndef RUNNEL_STORAGE_CLEAN_MARKER_H
#define RUNNEL_STORAGE_CLEAN_MARKER_H

#include "protocol/base/uuid.h"
#include "storage/file.h"

#define CLEAN_MARKER_NAME ".kafka_cleanshutdown"

struct clean_marker {
    bool is_present; /* existence alone says that the stop was clean */
    uuid nonce;      /* ours, and shared by the side files it vouches for; zero: Kafka's marker */
};

/* The nonce in a marker's text; zero when there is none. */
uuid clean_marker_parse(slice text);
/* No file is no failure. */
enum file_status clean_marker_read(struct file_system *files, const char *directory,
                                   struct clean_marker *out);
/* Writes it, flushed, with its directory entry. */
enum file_status clean_marker_write(struct file_system *files, const char *directory, uuid nonce);

#endif
