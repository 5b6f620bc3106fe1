/* partition.metadata: the topic id of a partition directory, as two lines of text. */
#ifndef RUNNEL_STORAGE_PARTITION_METADATA_H
#define RUNNEL_STORAGE_PARTITION_METADATA_H

#include "protocol/base/uuid.h"
#include "storage/file.h"

#define PARTITION_METADATA_NAME "partition.metadata"

/* False when Kafka would not read it. */
bool partition_metadata_parse(slice text, uuid *topic_id);

/* directory is the partition's. FILE_NOT_FOUND: no such file; FILE_IO: unreadable. */
enum file_status partition_metadata_read(struct file_system *files, const char *directory, uuid *topic_id);
/* Ids are drawn at random: two that differ within one letter of their text are one, and a bit of it is
 * damaged. False for equal ones. */
bool partition_metadata_is_damage(uuid a, uuid b);
/* Makes the file without a flush: it goes with the flush group of the first append, with its
 * directory. *out, when out is not NULL, stays open for that (returned owned). */
enum file_status partition_metadata_write(struct file_system *files, const char *directory, uuid topic_id,
                                          struct file **out);
/* Makes it anew, on the device when this returns. */
enum file_status partition_metadata_replace(struct file_system *files, const char *directory, uuid topic_id);

#endif
