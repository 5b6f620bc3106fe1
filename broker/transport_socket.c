/* The transport of plain TCP connections. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "broker/transport.h"

/* Parts and bytes of one sendmsg. More bytes a call would let one peer hold the loop. */
enum { PARTS_MAX = 256, WRITE_MAX = 1024 * 1024 };

struct address {
    char text[INET6_ADDRSTRLEN + 8]; /* "[...]:65535"; "" until somebody asks */
    int port;
};

struct socket_transport {
    struct transport transport;
    int descriptor;
    int awaited;          /* SO_RCVLOWAT as it is set */
    struct address local; /* only the host */
    struct address peer;
};

static struct socket_transport *socket_of(struct transport *transport)
{
    return (struct socket_transport *)((char *)transport - offsetof(struct socket_transport, transport));
}

/* What went away while nobody looked is an orderly end as far as the broker is concerned. */
static enum transport_status status_of_errno(int error)
{
    switch (error) {
    case EAGAIN:
    case ENOBUFS:
        return TRANSPORT_AGAIN;
    case EFAULT:
    case EIO:
        return TRANSPORT_MEDIA;
    default:
        return TRANSPORT_CLOSED;
    }
}

static bool set_awaited(struct socket_transport *socket, int size)
{
    if (size != socket->awaited &&
        setsockopt(socket->descriptor, SOL_SOCKET, SO_RCVLOWAT, &size, sizeof size) < 0)
        return false;
    socket->awaited = size;
    return true;
}

/* The kernel wakes nobody for less than SO_RCVLOWAT, unless the connection ends or its buffer is full; and
 * its buffer grows at once so that so much fits. */
static size_t socket_await(struct transport *transport, size_t size)
{
    struct socket_transport *socket = socket_of(transport);
    int there = 0;
    if (ioctl(socket->descriptor, FIONREAD, &there) < 0 || there < 0)
        there = 0;
    if ((size_t)there >= size)
        return (size_t)there;
    struct pollfd poll_entry = { .fd = socket->descriptor, .events = POLLIN };
    if (set_awaited(socket, (int)size) && poll(&poll_entry, 1, 0) == 0)
        return 0;
    return there > 0 ? (size_t)there : 1;
}

static enum transport_status socket_read(struct transport *transport, void *out, size_t size, size_t *got)
{
    ssize_t n;
    *got = 0;
    set_awaited(socket_of(transport), 1);
    do {
        n = recv(socket_of(transport)->descriptor, out, size, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return status_of_errno(errno);
    *got = (size_t)n;
    return n == 0 ? TRANSPORT_CLOSED : TRANSPORT_OK;
}

static size_t fill_iovecs(struct iovec *iov, const struct chain_part *parts, size_t count, size_t skip)
{
    size_t used = 0, left = WRITE_MAX;
    for (size_t i = 0; i < count && used < PARTS_MAX && left > 0; i++) {
        size_t size = parts[i].bytes.size;
        if (skip >= size) {
            skip -= size;
            continue;
        }
        size -= skip;
        if (size > left)
            size = left;
        iov[used++] = (struct iovec){ (void *)(uintptr_t)(parts[i].bytes.data + skip), size };
        left -= size;
        skip = 0;
    }
    return used;
}

static enum transport_status socket_write(struct transport *transport, const struct chain_part *parts,
                                          size_t count, size_t skip, size_t *sent)
{
    struct iovec iov[PARTS_MAX];
    struct msghdr message = { .msg_iov = iov, .msg_iovlen = fill_iovecs(iov, parts, count, skip) };
    ssize_t n;
    *sent = 0;
    do {
        n = sendmsg(socket_of(transport)->descriptor, &message, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return status_of_errno(errno);
    *sent = (size_t)n;
    return TRANSPORT_OK;
}

static void socket_close(struct transport *transport)
{
    close(socket_of(transport)->descriptor);
    free(socket_of(transport));
}

static int socket_descriptor(struct transport *transport)
{
    return socket_of(transport)->descriptor;
}

/* IPv4 in an IPv6 dress is printed as what it is. */
static void format_address(const struct sockaddr_storage *from, bool with_port, struct address *out)
{
    char host[INET6_ADDRSTRLEN] = "unknown";
    bool brackets = false;
    if (from->ss_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, from, sizeof in);
        out->port = ntohs(in.sin_port);
        inet_ntop(AF_INET, &in.sin_addr, host, sizeof host);
    } else if (from->ss_family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, from, sizeof in);
        out->port = ntohs(in.sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&in.sin6_addr)) {
            inet_ntop(AF_INET, &in.sin6_addr.s6_addr[12], host, sizeof host);
        } else {
            inet_ntop(AF_INET6, &in.sin6_addr, host, sizeof host);
            brackets = true;
        }
    }
    if (with_port)
        snprintf(out->text, sizeof out->text, brackets ? "[%s]:%d" : "%s:%d", host, out->port);
    else
        snprintf(out->text, sizeof out->text, "%s", host);
}

static const char *socket_peer(struct transport *transport)
{
    struct socket_transport *socket = socket_of(transport);
    struct sockaddr_storage address = { 0 };
    socklen_t size = sizeof address;
    if (socket->peer.text[0] == '\0') {
        if (getpeername(socket->descriptor, (struct sockaddr *)&address, &size) < 0)
            address.ss_family = AF_UNSPEC;
        format_address(&address, true, &socket->peer);
    }
    return socket->peer.text;
}

static const char *socket_local_host(struct transport *transport)
{
    struct socket_transport *socket = socket_of(transport);
    struct sockaddr_storage address = { 0 };
    socklen_t size = sizeof address;
    if (socket->local.text[0] == '\0') {
        if (getsockname(socket->descriptor, (struct sockaddr *)&address, &size) < 0)
            address.ss_family = AF_UNSPEC;
        format_address(&address, false, &socket->local);
    }
    return socket->local.text;
}

static int socket_local_port(struct transport *transport)
{
    socket_local_host(transport);
    return socket_of(transport)->local.port;
}

static const struct transport_ops socket_ops = {
    .read = socket_read,
    .await = socket_await,
    .write = socket_write,
    .close = socket_close,
    .descriptor = socket_descriptor,
    .peer = socket_peer,
    .local_host = socket_local_host,
    .local_port = socket_local_port,
};

struct transport *transport_socket(int descriptor)
{
    struct socket_transport *socket = calloc(1, sizeof *socket);
    if (!socket) {
        close(descriptor);
        return NULL;
    }
    socket->transport.ops = &socket_ops;
    socket->descriptor = descriptor;
    socket->awaited = 1;
    return &socket->transport;
}
