/* Hands producer ids out, from the block that the controller gave last. */
#include "broker/producer_ids.h"

#include <pthread.h>
#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/errors.h"

struct producer_ids {
    struct controller *controller;
    pthread_mutex_t mutex; /* never held while the controller is asked */
    pthread_cond_t answered;
    int64_t next;
    int64_t end; /* exclusive; next == end: used up */
    bool is_claiming;
    uint64_t round;     /* answers of the controller so far, */
    int16_t error_code; /* and the last one */
};

struct producer_ids *producer_ids_create(struct controller *controller)
{
    struct producer_ids *ids = check_memory(calloc(1, sizeof *ids));
    ids->controller = controller;
    pthread_mutex_init(&ids->mutex, NULL);
    pthread_cond_init(&ids->answered, NULL);
    return ids;
}

void producer_ids_destroy(struct producer_ids *ids)
{
    check(!ids->is_claiming);
    pthread_mutex_destroy(&ids->mutex);
    pthread_cond_destroy(&ids->answered);
    free(ids);
}

bool producer_ids_take(struct producer_ids *ids, int64_t *id)
{
    pthread_mutex_lock(&ids->mutex);
    bool has_one = ids->next < ids->end;
    if (has_one)
        *id = ids->next++;
    pthread_mutex_unlock(&ids->mutex);
    return has_one;
}

/* Unlocks meanwhile. */
static int16_t claim_block(struct producer_ids *ids)
{
    int64_t first;
    int32_t count;
    ids->is_claiming = true;
    pthread_mutex_unlock(&ids->mutex);
    int16_t error_code = controller_claim_producer_ids(ids->controller, &first, &count);
    pthread_mutex_lock(&ids->mutex);
    ids->is_claiming = false;
    ids->round++;
    ids->error_code = error_code;
    if (error_code == ERR_NONE) {
        check(first >= ids->end && count > 0);
        ids->next = first;
        ids->end = first + count;
    }
    pthread_cond_broadcast(&ids->answered);
    return error_code;
}

/* The answer to somebody else's claim counts for all who waited for it: what failed is not tried once for
 * each. */
static int16_t await_block(struct producer_ids *ids)
{
    uint64_t round = ids->round;
    while (ids->round == round)
        pthread_cond_wait(&ids->answered, &ids->mutex);
    return ids->error_code;
}

int16_t producer_ids_claim(struct producer_ids *ids, int64_t *id)
{
    int16_t error_code = ERR_NONE;
    pthread_mutex_lock(&ids->mutex);
    while (ids->next == ids->end && error_code == ERR_NONE)
        error_code = ids->is_claiming ? await_block(ids) : claim_block(ids);
    if (error_code == ERR_NONE)
        *id = ids->next++;
    pthread_mutex_unlock(&ids->mutex);
    return error_code;
}
