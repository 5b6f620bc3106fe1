/* The operations that a client may do on a resource, as the bit fields of Metadata and its like. */
#ifndef RUNNEL_BROKER_AUTHORIZED_OPERATIONS_H
#define RUNNEL_BROKER_AUTHORIZED_OPERATIONS_H

#include "broker/request.h"

/* Bit n stands for operation n. */
int32_t rq_topic_operations(struct request *rq, slice name);
/* 0 for whoever may not describe the cluster. */
int32_t rq_cluster_operations(struct request *rq);

int32_t rq_group_operations(struct request *rq, slice group_id);

#endif
