/* Bytes to and from a peer: plain socket or memory pair; TLS will be a third. */
#ifndef RUNNEL_BROKER_TRANSPORT_H
#define RUNNEL_BROKER_TRANSPORT_H

#include "protocol/base/chain.h"

enum transport_status {
    TRANSPORT_OK,
    TRANSPORT_AGAIN,  /* nothing now; wait for readiness */
    TRANSPORT_CLOSED, /* orderly end, or reset by the peer */
    TRANSPORT_MEDIA,  /* EFAULT or EIO: a mapped range could not be read */
};

struct transport;

struct transport_ops {
    enum transport_status (*read)(struct transport *, void *out, size_t size, size_t *got);
    /* How many bytes can be read, once they are size, or no more come or fit. 0: not yet; then the transport
     * does not become readable until it is so. Holds until the next read. */
    size_t (*await)(struct transport *, size_t size);
    /* Sends from parts[0] + skip on, at most ~1 MiB a call; *sent is what left. */
    enum transport_status (*write)(struct transport *, const struct chain_part *parts, size_t count,
                                   size_t skip, size_t *sent);
    void (*close)(struct transport *);
    /* The descriptor to watch; -1: the transport calls ready() itself (memory). */
    int (*descriptor)(struct transport *);
    /* "127.0.0.1:54321", and our own side's address of this connection. */
    const char *(*peer)(struct transport *);
    const char *(*local_host)(struct transport *);
    int (*local_port)(struct transport *);
};

struct transport {
    const struct transport_ops *ops;
    /* Set by the connection, for transports without a descriptor. */
    void (*ready)(void *context);
    void *ready_context;
};

/* Takes the accepted, non-blocking descriptor. NULL: no memory, then it is closed. */
struct transport *transport_socket(int descriptor);

/* Two ends in one process, each with a bounded buffer per direction; single-threaded. One end is
 * given to a loop, the other to a test or a fuzzer. */
bool transport_pair(size_t capacity, struct transport *ends[2]);

#endif
