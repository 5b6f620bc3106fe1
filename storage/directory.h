/* One log directory (an entry of log.dirs): its lock, its identity and the names in it. */
#ifndef RUNNEL_STORAGE_DIRECTORY_H
#define RUNNEL_STORAGE_DIRECTORY_H

#include "storage/clean_marker.h"
#include "storage/meta_properties.h"
#include "storage/store.h"

enum directory_name_kind {
    DIRECTORY_PARTITION, /* <topic>-<partition> */
    DIRECTORY_DELETE,    /* <topic>-<partition>.<unique>-delete */
    DIRECTORY_FUTURE,    /* ...-future: a move between directories that was not finished */
    DIRECTORY_STRAY,     /* ...-stray: set aside, unknown to the metadata */
    DIRECTORY_OTHER,     /* none of these */
};

enum { DIRECTORY_NAME_SIZE = 256, DIRECTORY_TOPIC_SIZE_MAX = 249 };

#define METADATA_TOPIC_NAME "__cluster_metadata"

/* What Kafka makes of a name; topic is borrowed from it (cut short in DELETE and STRAY names). */
enum directory_name_kind directory_parse_name(const char *name, slice *topic, int32_t *partition);
/* "<topic>-<partition>.<32 hex digits>-<suffix>", the topic cut so that it fits 255 bytes. */
void directory_unique_name(slice topic, int32_t partition, uuid unique, const char *suffix,
                           char out[DIRECTORY_NAME_SIZE]);

/* A partition directory found at the start. */
struct directory_name {
    char *name;
    enum directory_name_kind kind;
    size_t topic_size; /* the topic is the name's beginning */
    int32_t partition;
};

struct directory {
    struct file_system *files;
    char *path; /* without a trailing slash */
    struct file *lock;
    bool made_lock; /* the file was not there before */
    struct meta_properties meta;
    bool is_new;                /* no identity yet: directory_format() */
    bool is_durable;            /* the identity is on the device */
    unsigned made_count;        /* so many directories of the path were made by this start */
    struct clean_marker marker; /* as found; gone after directory_begin_changes() */
    bool may_be_foreign;        /* somebody else (Kafka) may have changed the logs since our last write */
    struct directory_name *names;
    size_t name_count;
    size_t name_capacity;
};

/* Locks and reads the directory, made when absent; changes nothing else. *error is returned owned on
 * failure; NULL when there was no memory for it. */
enum store_status directory_open(struct directory *directory, struct file_system *files, const char *path,
                                 char **error);
/* Refuses an identity that is not this one, and an empty one in a directory that is in use. */
enum store_status directory_check_identity(const struct directory *directory, int32_t node_id,
                                           const char *cluster_id, char **error);
/* Gives a new directory its identity, not flushed; one without directory.id gets that, at once durable. */
enum store_status directory_format(struct directory *directory, int32_t node_id, const char *cluster_id,
                                   char **error);
/* Makes the identity of a new directory durable; nothing when it is. */
enum file_status directory_make_durable(struct directory *directory);
/* Before the first change of a log: what says that the directory is clean goes away, durably. */
enum file_status directory_begin_changes(struct directory *directory);
/* Closes a directory that was refused: what directory_open() made goes again. */
void directory_refuse(struct directory *directory);
/* Frees the names that the start found. */
void directory_forget_names(struct directory *directory);
/* clean: the lock file goes too, as Kafka's does. */
void directory_close(struct directory *directory, bool clean);

/* <directory>/<name>, returned owned; NULL: no memory. */
char *directory_child(const struct directory *directory, const char *name);

#endif
