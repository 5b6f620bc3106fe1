/* quarantine.runnel: what is known of damage in a log, kept over clean stops. */
#ifndef RUNNEL_STORAGE_QUARANTINE_FILE_H
#define RUNNEL_STORAGE_QUARANTINE_FILE_H

#include "storage/log_struct.h"

#define QUARANTINE_NAME "quarantine.runnel"

/* Writes the ranges of all segments; without any, the file goes. Under prepare_mutex. A failure costs only
 * that damage has to be found again. */
void quarantine_file_write(struct log *log, const struct segment_list *list);
/* Adds the ranges whose damaged bytes are still the same: whoever else wrote there has the last word. proven as in
 * the recovery plan: a hole without bytes counts below it only. */
enum log_status quarantine_file_read(struct log *log, const struct segment_list *list, int64_t proven);

#endif
