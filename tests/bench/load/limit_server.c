/* libev, accept(), recv(): nothing that a server could leave out. */
#include "tests/bench/load/limit_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/base/check.h"
#include "tests/bench/load/arguments.h"

enum { BUFFER_SIZE_MIN = 64 << 10, BACKLOG = 4096, PIECES_MAX = 1024, SERVERS_MAX = 64 };

struct server {
    struct ev_loop *loop;
    struct ev_io arriving; /* descriptors of new connections, out of a pipe */
    int pipe[2];
    pthread_t thread;
    limit_take *take;
    void *context;
};

struct acceptor {
    struct ev_io accepting;
    struct server *servers;
    size_t count, next;
};

struct peer {
    struct ev_io reading;
    struct server *server;
    uint8_t *buffer;
    size_t capacity, size;
};

static void close_peer(struct peer *peer)
{
    ev_io_stop(peer->server->loop, &peer->reading);
    close(peer->reading.fd);
    free(peer->buffer);
    free(peer);
}

static void reserve(struct peer *peer, size_t size)
{
    if (size <= peer->capacity)
        return;
    peer->buffer = check_memory(realloc(peer->buffer, size));
    peer->capacity = size;
}

static void on_readable(struct ev_loop *loop, struct ev_io *watcher, int events)
{
    struct peer *peer = watcher->data;
    size_t wanted = 0;
    (void)loop, (void)events;
    ssize_t got = recv(watcher->fd, peer->buffer + peer->size, peer->capacity - peer->size, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        close_peer(peer);
        return;
    }
    peer->size += (size_t)got;
    size_t taken = peer->server->take(peer->server->context, watcher->fd, peer->buffer, peer->size, &wanted);
    peer->size -= taken;
    if (taken > 0 && peer->size > 0)
        memmove(peer->buffer, peer->buffer + taken, peer->size);
    reserve(peer, wanted);
}

static void on_arrived(struct ev_loop *loop, struct ev_io *watcher, int events)
{
    int descriptor;
    (void)events;
    if (read(watcher->fd, &descriptor, sizeof descriptor) != (ssize_t)sizeof descriptor)
        return;
    struct peer *peer = check_memory(calloc(1, sizeof *peer));
    reserve(peer, BUFFER_SIZE_MIN);
    peer->server = watcher->data;
    peer->reading.data = peer;
    ev_io_init(&peer->reading, on_readable, descriptor, EV_READ);
    ev_io_start(loop, &peer->reading);
}

static void on_acceptable(struct ev_loop *loop, struct ev_io *watcher, int events)
{
    struct acceptor *acceptor = watcher->data;
    (void)loop, (void)events;
    for (;;) {
        int descriptor = accept4(watcher->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), yes = 1;
        if (descriptor < 0)
            return;
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        const struct server *server = &acceptor->servers[acceptor->next++ % acceptor->count];
        check(write(server->pipe[1], &descriptor, sizeof descriptor) == (ssize_t)sizeof descriptor);
    }
}

static void *run_loop(void *loop)
{
    ev_run(loop, 0);
    return NULL;
}

/* The first has the thread and the loop of who calls. */
static void start_server(struct server *server, bool is_first)
{
    server->loop = is_first ? ev_default_loop(0) : check_memory(ev_loop_new(0));
    check(pipe(server->pipe) == 0);
    server->arriving.data = server;
    ev_io_init(&server->arriving, on_arrived, server->pipe[0], EV_READ);
    ev_io_start(server->loop, &server->arriving);
    if (!is_first)
        check(pthread_create(&server->thread, NULL, run_loop, server->loop) == 0);
}

static void on_signal(struct ev_loop *loop, struct ev_signal *watcher, int events)
{
    (void)watcher, (void)events;
    ev_break(loop, EVBREAK_ALL);
}

static int listen_on(const char *address, int *port)
{
    struct sockaddr_in name = { .sin_family = AF_INET };
    socklen_t size = sizeof name;
    char host[64];
    int yes = 1;
    const char *colon = strrchr(address, ':');
    if (!colon || (size_t)(colon - address) >= sizeof host)
        load_fail("not HOST:PORT: %s", address);
    memcpy(host, address, (size_t)(colon - address));
    host[colon - address] = '\0';
    name.sin_port = htons((uint16_t)atoi(colon + 1));
    if (inet_pton(AF_INET, host, &name.sin_addr) != 1)
        load_fail("not an address: %s", host);
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(descriptor, (struct sockaddr *)&name, sizeof name) != 0 || listen(descriptor, BACKLOG) != 0)
        load_fail("cannot listen on %s: %s", address, strerror(errno));
    check(getsockname(descriptor, (struct sockaddr *)&name, &size) == 0);
    *port = ntohs(name.sin_port);
    return descriptor;
}

void limit_serve(const char *address, limit_take *take, void (*listening)(void *context, int port),
                 void *const *contexts, size_t count)
{
    static struct server servers[SERVERS_MAX];
    struct acceptor acceptor = { .servers = servers, .count = count < SERVERS_MAX ? count : SERVERS_MAX };
    struct ev_signal terminated;
    int port, listener = listen_on(address, &port);
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < acceptor.count; i++) {
        servers[i] = (struct server){ .take = take, .context = contexts[i] };
        listening(contexts[i], port);
        start_server(&servers[i], i == 0);
    }
    struct ev_loop *loop = servers[0].loop;
    acceptor.accepting.data = &acceptor;
    ev_io_init(&acceptor.accepting, on_acceptable, listener, EV_READ);
    ev_io_start(loop, &acceptor.accepting);
    ev_signal_init(&terminated, on_signal, SIGTERM);
    ev_signal_start(loop, &terminated);
    printf("%.*s:%d\n", (int)(strrchr(address, ':') - address), address, port);
    fflush(stdout);
    ev_run(loop, 0); /* the other threads go with the process */
    close(listener);
}

void limit_send(int descriptor, struct iovec *pieces, size_t count)
{
    while (count > 0) {
        struct msghdr message = { .msg_iov = pieces, .msg_iovlen = count < PIECES_MAX ? count : PIECES_MAX };
        ssize_t sent = sendmsg(descriptor, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return; /* the next recv() tells that it is gone */
        if (sent < 0) {
            struct pollfd full = { .fd = descriptor, .events = POLLOUT };
            poll(&full, 1, -1);
            continue;
        }
        for (; count > 0 && (size_t)sent >= pieces->iov_len; pieces++, count--)
            sent -= (ssize_t)pieces->iov_len;
        if (count > 0) {
            pieces->iov_base = (uint8_t *)pieces->iov_base + sent;
            pieces->iov_len -= (size_t)sent;
        }
    }
}
