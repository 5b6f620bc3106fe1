/* What lies in a partition directory, and the tidying with which Kafka begins to load it. */
#ifndef RUNNEL_STORAGE_LOG_DIRECTORY_H
#define RUNNEL_STORAGE_LOG_DIRECTORY_H

#include "storage/segment_file.h"

struct segment_files {
    int64_t base_offset;
    bool has_offset_index;
    bool has_time_index;
    bool has_txn_index;
};

struct log_directory {
    struct segment_files *segments; /* ascending by base offset */
    size_t segment_count;
    int64_t *snapshots; /* offsets of producer snapshots, ascending */
    size_t snapshot_count;
    bool has_quarantine; /* quarantine.runnel is there */
};

enum { LOG_DIRECTORY_NAME_SIZE = 256 }; /* NAME_MAX of Linux, and a NUL */

/* Names of spare segments begin with this; Kafka ignores what ends in .runnel. */
#define SPARE_PREFIX "spare-"
#define SPARE_SUFFIX ".runnel"

/* Lists the directory. tidy: removes .deleted and .cleaned files, completes or drops swaps of the cleaner,
 * removes spare segments of ours and indexes without a .log (facts: disk-format 4.1, steps 1-3).
 * FILE_NOT_FOUND: no directory. FILE_IO also when something that should be a file is a link, a pipe or a
 * directory; then nothing is changed. */
enum file_status log_directory_load(const struct segment_home *home, bool tidy, struct log_directory *out);
/* Such a thing's name, or "". */
enum file_status log_directory_odd_name(const struct segment_home *home, char out[LOG_DIRECTORY_NAME_SIZE]);
/* Whether there is a file of it that may not be opened to read and write; its name. */
bool log_directory_denied_name(const struct segment_home *home, bool only_logs,
                               char out[LOG_DIRECTORY_NAME_SIZE]);
void log_directory_free(struct log_directory *directory);

#endif
