/* Hands producer ids out, from the block that the controller gave last. */
#ifndef RUNNEL_BROKER_PRODUCER_IDS_H
#define RUNNEL_BROKER_PRODUCER_IDS_H

#include "broker/controller.h"

/* Safe to use from any thread. What is left of the block is lost with the process, as in Kafka. */
struct producer_ids;

/* controller is borrowed, and outlives it. */
struct producer_ids *producer_ids_create(struct controller *controller);
void producer_ids_destroy(struct producer_ids *ids);

/* Takes the next id, >= 0, that nobody ever had. False: the block is used up. For loops. */
bool producer_ids_take(struct producer_ids *ids, int64_t *id);
/* The same, but claims the next block when there is none: one claim for all who wait. Kafka's error code when
 * that failed; then there is no id. May block: for workers. */
int16_t producer_ids_claim(struct producer_ids *ids, int64_t *id);

#endif
