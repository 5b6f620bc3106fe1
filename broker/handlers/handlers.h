/* The handlers of all APIs: one function each, in the file of the API's name. */
#ifndef RUNNEL_BROKER_HANDLERS_HANDLERS_H
#define RUNNEL_BROKER_HANDLERS_HANDLERS_H

#include "broker/request.h"

#include "codec/api_versions.h"
#include "codec/fetch.h"
#include "codec/find_coordinator.h"
#include "codec/heartbeat.h"
#include "codec/join_group.h"
#include "codec/leave_group.h"
#include "codec/list_offsets.h"
#include "codec/metadata.h"
#include "codec/produce.h"
#include "codec/sync_group.h"

/* in: decoded, borrowed from the arena. out: initialised to the schema's defaults. */
#define API(NAME, key, name, min, max, flags)                                                              \
    enum handled handle_##name(struct request *rq, const struct name##_request *in,                        \
                               struct name##_response *out);
#include "broker/apis.def"
#undef API

#endif
