/* The handlers of all APIs: one function each, in the file of the API's name. */
#ifndef RUNNEL_BROKER_HANDLERS_HANDLERS_H
#define RUNNEL_BROKER_HANDLERS_HANDLERS_H

#include "broker/request.h"

#include "codec/alter_configs.h"
#include "codec/api_versions.h"
#include "codec/consumer_group_describe.h"
#include "codec/consumer_group_heartbeat.h"
#include "codec/create_partitions.h"
#include "codec/create_topics.h"
#include "codec/delete_groups.h"
#include "codec/delete_records.h"
#include "codec/delete_topics.h"
#include "codec/describe_cluster.h"
#include "codec/describe_configs.h"
#include "codec/describe_groups.h"
#include "codec/describe_topic_partitions.h"
#include "codec/fetch.h"
#include "codec/find_coordinator.h"
#include "codec/heartbeat.h"
#include "codec/incremental_alter_configs.h"
#include "codec/init_producer_id.h"
#include "codec/join_group.h"
#include "codec/leave_group.h"
#include "codec/list_config_resources.h"
#include "codec/list_groups.h"
#include "codec/list_offsets.h"
#include "codec/metadata.h"
#include "codec/offset_commit.h"
#include "codec/offset_delete.h"
#include "codec/offset_fetch.h"
#include "codec/offset_for_leader_epoch.h"
#include "codec/produce.h"
#include "codec/sync_group.h"

/* in: decoded, borrowed from the arena. out: initialised to the schema's defaults. */
#define API(NAME, key, name, min, max, flags)                                                              \
    enum handled handle_##name(struct request *rq, const struct name##_request *in,                        \
                               struct name##_response *out);
#include "broker/apis.def"
#undef API

#endif
