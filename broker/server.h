/* The server: owns the store, the controller, loops, workers and the flusher; main and the
 * simulations are its hosts. */
#ifndef RUNNEL_BROKER_SERVER_H
#define RUNNEL_BROKER_SERVER_H

#include "broker/config.h"
#include "broker/controller.h"
#include "broker/exit_codes.h"
#include "broker/loop.h"
#include "broker/producer_ids.h"
#include "broker/transport.h"
#include "broker/work.h"

/* What a host decides. */
struct server_options {
    const struct config *config; /* borrowed, outlives the server */
    struct file_system *files;   /* borrowed */
    const struct clock *clock;   /* borrowed */
    uint64_t seed;               /* of simulations; 0: from the kernel */
    bool threaded;               /* false: no threads, no listeners; driven by server_step() */
};

struct server {
    const struct config *config;
    const struct clock *clock;
    struct storage_env env;
    struct store *store;
    struct controller *controller;
    struct coordinator *groups; /* group coordinator; from the loops on */
    struct producer_ids *producer_ids;
    struct retire *retire;
    struct workers *workers;        /* all else that may block */
    struct workers *read_workers;   /* what only reads or computes: nobody who writes stands before it */
    struct workers *append_workers; /* appends that block: a slow device holds up nothing else */
    struct files_wait *files_wait;  /* who waits for descriptors */
    struct peers *peers;
    struct fetch_sessions *fetch_sessions;
    struct budget budget;
    struct loop **loops;
    unsigned loop_count;
    bool threaded;        /* as in server_options */
    authorizer authorize; /* never NULL */
    void *authorize_context;
    struct slow_device *slow_devices; /* one per log directory */
    struct server_private *own;       /* server.c */
    atomic_bool is_ending;            /* no group is flushed any more: who waits for one gives up */
};

/* Opens the store, replays metadata, recovers, binds the listeners; serving starts with
 * server_run(). On failure the exit code for main, and *error for the operator. */
enum exit_code server_open(const struct server_options *options, struct server **out, const char **error);
/* Serves until server_stop(); then answers what waits, closes. Returns the exit code: EXIT_OK, or
 * the storage failure's own. */
enum exit_code server_run(struct server *server);
/* Async-signal-safe. */
void server_stop(struct server *server);
/* Frees; writes the clean-stop marker when serving ended well. False: it should have, and could not; what was
 * acknowledged is kept, and the next start recovers as after a crash. */
bool server_close(struct server *server);

/* "HOST:PORT" of a listener as bound; lives as long as the server. */
size_t server_listener_count(const struct server *server);
const char *server_address(const struct server *server, size_t listener);

/* Simulation: hands one end of a memory pair to a loop as a new connection. */
bool server_connect(struct server *server, struct transport *end);
/* One step: a loop turn, a worker's job or a flush, whichever has something to do. False: idle. */
bool server_step(struct server *server);

/* Bytes that nobody can guess; in a simulation, from its seed. Any thread. */
void server_random(struct server *server, void *out, size_t size);

/* There is something to flush. Any thread; who appends on a loop leaves that to loop_wants_flush(). */
void server_wake_flusher(struct server *server);
/* Somebody raised or changed these partitions' offsets: wakes the loops that watch. Any thread. */
void server_partition_progress(struct server *server, struct partition *const *partitions, size_t count);

#endif
