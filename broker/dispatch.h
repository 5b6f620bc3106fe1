/* The one choke point between frames and handlers: one row per API says all that differs. */
#ifndef RUNNEL_BROKER_DISPATCH_H
#define RUNNEL_BROKER_DISPATCH_H

#include "broker/request.h"
#include "protocol/api_schema.h"

enum api_flags {
    API_OVERLAP = 1,  /* while it waits, later requests of its connection run */
    API_IN_PLACE = 2, /* slices of `in` point into the receive buffer and die with the turn */
};

struct api_row {
    int16_t key;
    int16_t served_min;
    int16_t served_max;
    unsigned flags;
    enum handled (*run)(struct request *rq);
    const struct api_schema *schema;
};

/* Ascending by key; made at the first call, from apis.def and the schemas. Any thread. */
const struct api_row *api_rows(size_t *count);
/* NULL: not served. */
const struct api_row *api_row_find(int16_t key);

/* Executes one frame (without its length) of the connection. What is not a request that we serve
 * ends the connection once earlier replies have left. False: there is no memory for it until an
 * earlier request of the connection has ended; nothing was done. */
bool dispatch_frame(struct conn *conn, slice frame);
/* Encodes the reply of a request that is done. False: it cannot be told; the connection closes. */
bool dispatch_encode(struct request *rq);

#endif
