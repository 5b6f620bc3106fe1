/* Settings of logs, kept once for all that have the same: those of a topic, mostly. */
#ifndef RUNNEL_STORAGE_SHARED_CONFIG_H
#define RUNNEL_STORAGE_SHARED_CONFIG_H

#include "storage/log.h"

/* A copy that all who ask for equal settings share, until each has dropped it. NULL: no memory. Any thread.
 */
const struct log_config *shared_config_take(const struct log_config *config);
/* Takes what shared_config_take() returned; fits retire(). */
void shared_config_drop(void *config);

#endif
