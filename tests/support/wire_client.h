/* A small blocking Kafka client of our own for tests and benchmarks: sends what it is told to, also
 * what no real client would. */
#ifndef RUNNEL_TESTS_SUPPORT_WIRE_CLIENT_H
#define RUNNEL_TESTS_SUPPORT_WIRE_CLIENT_H

#include "protocol/api_schema.h"
#include "protocol/base/arena.h"

struct wire_client {
    int descriptor; /* -1: not connected, or closed by the peer */
    int32_t correlation_id; /* of the last request sent */
    struct arena arena;     /* of the last response */
    uint8_t *frame;
    size_t frame_capacity;
};

/* address is "HOST:PORT". False when nobody listens. Reads and writes give up after timeout_ms. */
bool wire_connect(struct wire_client *client, const char *address, int timeout_ms);
void wire_close(struct wire_client *client);

/* Raw bytes; false when the peer closed or time is over. */
bool wire_send_bytes(struct wire_client *client, const void *bytes, size_t size);
/* Fills out completely or says false. */
bool wire_receive_bytes(struct wire_client *client, void *out, size_t size);
/* One frame without its length; the slice lives until the next call. False: closed or late. */
bool wire_receive_frame(struct wire_client *client, slice *out);
/* True when the peer closes the connection (whatever it sent before) within the time. */
bool wire_is_closed_by_peer(struct wire_client *client);

/* Encodes and sends one request, struct of the generated codec; does not wait. */
bool wire_send(struct wire_client *client, int16_t api_key, int16_t version, const void *request);
/* The next response, which must carry correlation_id; out is a struct of the codec whose slices live
 * until the next call. */
bool wire_receive(struct wire_client *client, int16_t api_key, int16_t version, int32_t correlation_id,
                  void *response);
/* Both. */
bool wire_call(struct wire_client *client, int16_t api_key, int16_t version, const void *request,
               void *response);
/* The frame of a request with its length, in memory of the arena. */
slice wire_encode(struct arena *arena, int16_t api_key, int16_t version, int32_t correlation_id,
                  slice client_id, const void *request);

#endif
