/* meta.properties: whose log directory this is. Java properties text, as Kafka reads and writes it. */
#ifndef RUNNEL_STORAGE_META_PROPERTIES_H
#define RUNNEL_STORAGE_META_PROPERTIES_H

#include "protocol/base/uuid.h"
#include "storage/file.h"

#define META_PROPERTIES_NAME "meta.properties"

enum { META_CLUSTER_ID_SIZE_MAX = 255 };

struct meta_properties {
    char cluster_id[META_CLUSTER_ID_SIZE_MAX + 1]; /* "" when absent */
    int32_t node_id;                               /* -1 when absent */
    int32_t version;                               /* 0 or 1; -1 when absent */
    uuid directory_id;                             /* zero when absent */
};

/* Reads what it finds; unknown keys are passed over. False when a value is not what Kafka takes there. In
 * version 0 the node id is called broker.id. */
bool meta_properties_parse(slice text, struct meta_properties *out);
/* The text, version 1, malloc'ed (returned owned); NULL: no memory. */
char *meta_properties_text(const struct meta_properties *properties);

#endif
