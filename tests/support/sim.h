/* The whole broker in one thread: memory transport, a disk and a clock that the test owns. */
#ifndef RUNNEL_TESTS_SUPPORT_SIM_H
#define RUNNEL_TESTS_SUPPORT_SIM_H

#include "broker/server.h"
#include "protocol/api_schema.h"
#include "storage/file_double.h"

struct sim {
    struct file_double *disk;
    struct clock_virtual clock;
    struct config *config;
    struct server *server; /* NULL while the power is off */
    uint64_t seed;
    bool flushes_are_held; /* the device is slow: all else goes on */
};

/* A connection's other end. */
struct sim_client {
    struct sim *sim;
    struct transport *end;
    struct arena arena; /* of the last response */
    uint8_t *frame;
    size_t frame_size;
    int32_t correlation_id;
};

/* Starts a broker on an empty disk. settings: lines of server.properties, "" for none. The seed goes
 * to everything that is drawn. Aborts when the broker does not start. */
void sim_open(struct sim *sim, uint64_t seed, const char *settings);
/* The same on a disk that is not empty; takes it. */
void sim_open_on(struct sim *sim, struct file_double *disk, uint64_t seed, const char *settings);
/* A clean stop, and all is freed. */
void sim_close(struct sim *sim);
/* A clean stop, and a start on the same disk. Clients are disconnected before. */
void sim_restart(struct sim *sim);
/* The power fails now, what was not flushed fares as `cut` says, and the broker starts on the rest. */
void sim_power_cycle(struct sim *sim, enum file_double_cut cut);
/* Stops the broker; its disk is returned owned, with what the stop wrote behind what was there before. Then
 * sim_start_on() with a disk, taken: one made by file_double_after_cut(), say. */
struct file_double *sim_stop(struct sim *sim);
void sim_start_on(struct sim *sim, struct file_double *disk);
/* One step of the broker. False: it has nothing to do, or waits for a flush that is held. */
bool sim_step(struct sim *sim);
/* Steps until nothing is left to do. */
void sim_settle(struct sim *sim);
/* Moves the clock, then settles. */
void sim_advance(struct sim *sim, int64_t ms);

void sim_connect(struct sim *sim, struct sim_client *client);
void sim_disconnect(struct sim_client *client);
/* False when the broker has closed the connection. */
bool sim_send(struct sim_client *client, int16_t api_key, int16_t version, const void *request);
/* Steps until the response is there. False: closed, or idle without one. */
bool sim_receive(struct sim_client *client, int16_t api_key, int16_t version, void *response);
/* The same without decoding: frame and frame_size. */
bool sim_receive_frame(struct sim_client *client);
bool sim_call(struct sim_client *client, int16_t api_key, int16_t version, const void *request,
              void *response);
bool sim_send_bytes(struct sim_client *client, const void *bytes, size_t size);

#endif
