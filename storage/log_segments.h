/* Segments that leave a log or take the place of others, while readers go on and a power cut may come at any
 * moment. For retention and the cleaner. */
#ifndef RUNNEL_STORAGE_LOG_SEGMENTS_H
#define RUNNEL_STORAGE_LOG_SEGMENTS_H

#include "storage/log_struct.h"

/* Removes the first count segments; count < all of them (the active one stays). The log start offset becomes
 * at least the base offset of the first that is left, leader epochs and producer snapshots below it go as in
 * Kafka. The new start is published before any name changes; files get Kafka's `.deleted` suffix and are
 * unlinked on a worker, not before file.delete.delay.ms is over and no reader holds them. What a power cut
 * leaves is a log without a gap: names change oldest first. Under prepare_mutex, without mutex; may block. */
enum log_status log__remove_oldest(struct log *log, size_t count);

/* Puts one compacted segment in the place of count sealed ones that begin at list index first, as Kafka 4.2's
 * LocalLog.replaceSegments does: the new files lie there, flushed, with the base offset of the first one and
 * the suffix
 * `.cleaned`; they become `.swap`, the old ones `.deleted`, then the suffix goes. Recovery finishes or undoes
 * whatever a power cut left (facts: disk-format 4 and 5). The replaced segments stay readable to who holds
 * them. Under prepare_mutex, without mutex; may block. replacement is owned from here on in any case. */
enum log_status log__replace_segments(struct log *log, size_t first, size_t count,
                                      struct segment *replacement);

#endif
