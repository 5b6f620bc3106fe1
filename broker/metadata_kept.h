/* Records of the metadata log that mean nothing here and something to Kafka: a snapshot has them too. */
#ifndef RUNNEL_BROKER_METADATA_KEPT_H
#define RUNNEL_BROKER_METADATA_KEPT_H

#include "broker/metadata_log.h"

/* Permissions, quotas, credentials, settings of brokers: in their order and whole, so that whoever replays
 * them comes to the same end as Kafka. This program writes none, so it knows them all once the log was read.
 */
struct metadata_kept {
    struct arena arena;
    slice *records; /* framed */
    size_t count;
    size_t capacity;
    slice kraft_version; /* the newest of each, without frame; null: there is none */
    slice voters;
};

void metadata_kept_init(struct metadata_kept *kept);
void metadata_kept_destroy(struct metadata_kept *kept);
/* Both copy the value. False: no memory. */
bool metadata_kept_add(struct metadata_kept *kept, slice value);
/* KRaft's own records: of those that say nothing of the voters nothing is kept. */
bool metadata_kept_control(struct metadata_kept *kept, int control_type, slice value);

#endif
