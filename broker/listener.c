/* Binding, accepting, and what to do when descriptors run out. */
#include "broker/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/loop_internal.h"
#include "broker/peers.h"
#include "broker/server.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"

enum {
    ACCEPTS_PER_TURN = 64,
    /* Kafka has a thread that only accepts and does with 50; here a burst waits for the turn to end, and a
     * peer whose SYN finds the queue full tries again after a second. */
    BACKLOG_MIN = 1024,
    /* How long nothing is accepted after descriptors ran out. */
    PAUSE_MS = 100,
    /* A peer that vanished without a word is noticed after about 2 minutes. No TCP_USER_TIMEOUT: it
     * would also close on an honest consumer that pauses; our own deadline on output does better. */
    KEEPALIVE_IDLE_S = 60,
    KEEPALIVE_INTERVAL_S = 10,
    KEEPALIVE_COUNT = 6,
};

struct listener {
    struct listeners *all;
    const struct config_listener *config; /* borrowed */
    int descriptor;                       /* -1: not bound */
    char address[NI_MAXHOST + 16];
    struct ev_io io;
};

struct listeners {
    struct server *server;
    unsigned connections_max;
    struct timer resume; /* armed while nothing is accepted */
    size_t count;
    struct listener list[];
};

/* An accepted connection on its way to its loop. */
struct handover {
    struct loop_mail mail;
    struct transport *transport;
    const struct listener *listener;
    struct peer *peer;
};

/* -- binding ------------------------------------------------------------------------------------ */

static void format_address(struct listener *listener)
{
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    char host[NI_MAXHOST], port[NI_MAXSERV];
    check(getsockname(listener->descriptor, (struct sockaddr *)&bound, &size) == 0);
    check(getnameinfo((struct sockaddr *)&bound, size, host, sizeof host, port, sizeof port,
                      NI_NUMERICHOST | NI_NUMERICSERV) == 0);
    snprintf(listener->address, sizeof listener->address, bound.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
             host, port);
}

static int bound_port(const struct listener *listener)
{
    return atoi(strrchr(listener->address, ':') + 1);
}

static int bind_one(const struct config *config, const struct addrinfo *info, bool is_wildcard)
{
    int on = 1, v6only = !is_wildcard;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (info->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only);
    if (config->socket_receive_buffer_bytes > 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &config->socket_receive_buffer_bytes, sizeof(int));
    if (config->socket_send_buffer_bytes > 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &config->socket_send_buffer_bytes, sizeof(int));
    int backlog = config->socket_listen_backlog_size;
    if (backlog < BACKLOG_MIN)
        backlog = BACKLOG_MIN;
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, backlog) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* -1 with errno, or with errno 0 and the resolver's *problem. An empty host is every address, of
 * both families where the machine has both. */
static int bind_address(const struct config *config, const struct config_listener *address, int port,
                        const char **problem)
{
    bool is_wildcard = address->host[0] == '\0';
    char service[8];
    snprintf(service, sizeof service, "%d", port);
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_PASSIVE };
    struct addrinfo *found;
    int status = getaddrinfo(is_wildcard ? "::" : address->host, service, &hints, &found);
    if (status != 0) {
        *problem = gai_strerror(status);
        errno = 0;
        return -1;
    }
    int fd = bind_one(config, found, is_wildcard);
    freeaddrinfo(found);
    if (fd < 0 && is_wildcard && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
        struct config_listener any = { .name = address->name, .host = "0.0.0.0", .port = address->port };
        return bind_address(config, &any, port, problem);
    }
    return fd;
}

/* Where port 0 is asked for twice (127.0.0.1 and [::1]) both get the same port if it is free. */
static int bind_listener(struct listeners *all, size_t index, const char **problem)
{
    const struct config *config = all->server->config;
    const struct config_listener *address = all->list[index].config;
    if (address->port == 0 && index > 0 && all->list[0].config->port == 0 && all->list[0].descriptor >= 0 &&
        strcmp(address->host, all->list[0].config->host) != 0) {
        int fd = bind_address(config, address, bound_port(&all->list[0]), problem);
        if (fd >= 0)
            return fd;
    }
    return bind_address(config, address, address->port, problem);
}

/* The default names both loopback addresses; a machine without IPv6 still starts. */
static bool is_dispensable(const struct listeners *all, const struct config_listener *listener)
{
    return listener->is_optional && all->count > 0 && (errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT);
}

struct listeners *listeners_open(struct server *server, unsigned connections_max, const char **error)
{
    static char message[NI_MAXHOST + 200];
    const struct config *config = server->config;
    struct listeners *all =
        check_memory(calloc(1, sizeof *all + config->listener_count * sizeof(struct listener)));
    all->server = server;
    all->connections_max = connections_max;
    for (size_t i = 0; i < config->listener_count; i++) {
        struct listener *listener = &all->list[all->count];
        const char *problem = NULL;
        *listener = (struct listener){ .all = all, .config = &config->listeners[i], .descriptor = -1 };
        listener->descriptor = bind_listener(all, all->count, &problem);
        if (listener->descriptor >= 0) {
            format_address(listener);
            all->count++;
        } else if (!is_dispensable(all, &config->listeners[i])) {
            snprintf(message, sizeof message, "cannot listen on %s port %u: %s", listener->config->host,
                     listener->config->port, errno == 0 ? problem : strerror(errno));
            *error = message;
            listeners_destroy(all);
            return NULL;
        }
    }
    return all;
}

/* -- accepting ---------------------------------------------------------------------------------- */

static void set_options(int fd)
{
    int on = 1, idle = KEEPALIVE_IDLE_S, interval = KEEPALIVE_INTERVAL_S, count = KEEPALIVE_COUNT;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

static void open_conn(struct loop *loop, struct transport *transport, const struct listener *listener,
                      struct peer *peer)
{
    struct conn *conn = conn_open(loop, transport, listener);
    if (conn)
        conn->counted_peer = peer;
    else
        peers_give_back(loop->server->peers, peer);
}

static void deliver_handover(struct loop_mail *mail, struct loop *loop)
{
    struct handover *handover = (struct handover *)((char *)mail - offsetof(struct handover, mail));
    atomic_fetch_sub_explicit(&loop->conn_count, 1, memory_order_relaxed); /* opening counts it again */
    open_conn(loop, handover->transport, handover->listener, handover->peer);
    free(handover);
}

static struct loop *least_busy(const struct server *server)
{
    struct loop *best = server->loops[0];
    for (unsigned i = 1; i < server->loop_count; i++)
        if (loop__conn_count(server->loops[i]) < loop__conn_count(best))
            best = server->loops[i];
    return best;
}

/* As Kafka does: the connection is closed without a word to the client. */
static void refuse_peer(int fd)
{
    static struct note_limit limit;
    uint32_t suppressed;
    if (note_allow(&limit, 1, &suppressed))
        note_warn("listener.refused", "reason=max_connections_per_ip suppressed=%u", suppressed);
    close(fd);
}

static void hand_over(struct listener *listener, int fd)
{
    struct server *server = listener->all->server;
    struct loop *loop = least_busy(server);
    struct peer *peer;
    if (!peers_take(server->peers, fd, &peer)) {
        refuse_peer(fd);
        return;
    }
    set_options(fd);
    struct transport *transport = transport_socket(fd);
    if (!transport) {
        peers_give_back(server->peers, peer);
        return;
    }
    if (loop__is_current(loop)) {
        open_conn(loop, transport, listener, peer);
        return;
    }
    struct handover *handover = malloc(sizeof *handover);
    if (!handover) {
        transport->ops->close(transport);
        peers_give_back(server->peers, peer);
        return;
    }
    *handover = (struct handover){
        .mail.deliver = deliver_handover, .transport = transport, .listener = listener, .peer = peer
    };
    atomic_fetch_add_explicit(&loop->conn_count, 1, memory_order_relaxed);
    loop_post(loop, &handover->mail);
}

static unsigned connection_count(const struct server *server)
{
    unsigned count = 0;
    for (unsigned i = 0; i < server->loop_count; i++)
        count += loop__conn_count(server->loops[i]);
    return count;
}

/* Peers wait in the backlog meanwhile; a listening socket that stays readable must not spin. */
static void pause_accepting(struct listeners *all, const char *reason)
{
    static struct note_limit limit;
    struct loop *loop = all->server->loops[0];
    uint32_t suppressed;
    if (note_allow(&limit, 1, &suppressed))
        note_warn("listener.paused",
                  "reason=%s connections=%u suppressed=%u new clients wait until others close", reason,
                  connection_count(all->server), suppressed);
    for (size_t i = 0; i < all->count; i++)
        ev_io_stop(loop->ev, &all->list[i].io);
    timer_arm(&loop->timers, &all->resume, loop->mono_ms + PAUSE_MS);
}

static void start_watching(struct listeners *all)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->list[i].descriptor >= 0)
            ev_io_start(all->server->loops[0]->ev, &all->list[i].io);
}

static void fire_resume(struct timer *timer)
{
    struct listeners *all = (struct listeners *)((char *)timer - offsetof(struct listeners, resume));
    if (connection_count(all->server) >= all->connections_max)
        pause_accepting(all, "max_connections");
    else
        start_watching(all);
}

static void accept_some(struct listener *listener)
{
    struct listeners *all = listener->all;
    for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
        if (connection_count(all->server) >= all->connections_max) {
            pause_accepting(all, "max_connections");
            return;
        }
        int fd = accept4(listener->descriptor, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            hand_over(listener, fd);
            continue;
        }
        switch (errno) {
        case EAGAIN:
            return;
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            pause_accepting(all, "descriptors_or_memory");
            return;
        default: /* this one has gone again; the next may be there */
            break;
        }
    }
}

static void on_acceptable(struct ev_loop *ev, struct ev_io *io, int events)
{
    (void)ev;
    (void)events;
    accept_some(io->data);
}

void listeners_start(struct listeners *all)
{
    all->resume.fire = fire_resume;
    for (size_t i = 0; i < all->count; i++) {
        struct listener *listener = &all->list[i];
        ev_io_init(&listener->io, on_acceptable, listener->descriptor, EV_READ);
        listener->io.data = listener;
    }
    start_watching(all);
}

void listeners_stop(struct listeners *all)
{
    struct loop *loop = all->server->loops[0];
    timer_cancel(&loop->timers, &all->resume);
    for (size_t i = 0; i < all->count; i++) {
        struct listener *listener = &all->list[i];
        if (listener->descriptor < 0)
            continue;
        ev_io_stop(loop->ev, &listener->io);
        close(listener->descriptor);
        listener->descriptor = -1;
    }
}

void listeners_destroy(struct listeners *all)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->list[i].descriptor >= 0)
            close(all->list[i].descriptor);
    free(all);
}

size_t listeners_count(const struct listeners *all)
{
    return all->count;
}

const char *listeners_address(const struct listeners *all, size_t index)
{
    return all->list[index].address;
}

const char *listener_name(const struct listener *listener)
{
    return listener->config->name;
}
