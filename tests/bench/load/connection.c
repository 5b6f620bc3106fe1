/* One connection: requests are made while its window has room, sent in as few calls as possible, answers
 * matched. */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "protocol/base/bytes.h"
#include "protocol/base/check.h"
#include "tests/bench/load/arguments.h"
#include "tests/bench/load/engine.h"

enum { BUFFER_SIZE_MIN = 16 << 10, PIECES_MAX = 64, LENGTH_SIZE = 4 };

uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* --- opening and closing ------------------------------------------------------------------------- */

static int connect_to(const char *address)
{
    char host[256];
    const char *colon = strrchr(address, ':');
    if (!colon || (size_t)(colon - address) >= sizeof host)
        load_fail("not HOST:PORT: %s", address);
    memcpy(host, address, (size_t)(colon - address));
    host[colon - address] = '\0';
    struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found;
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
        load_fail("no such address: %s", address);
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    if (descriptor < 0 || connect(descriptor, found->ai_addr, found->ai_addrlen) != 0)
        load_fail("cannot connect to %s: %s", address, strerror(errno));
    freeaddrinfo(found);
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    return descriptor;
}

void connection_open(struct connection *connection, const char *address, int depth)
{
    connection->descriptor = connect_to(address);
    connection->depth = (uint32_t)depth;
    connection->slots = check_memory(calloc((size_t)depth, sizeof *connection->slots));
}

void connection_close(struct connection *connection)
{
    for (uint32_t i = 0; i < connection->depth; i++) {
        free(connection->slots[i].pieces);
        free(connection->slots[i].memory);
    }
    free(connection->slots);
    free(connection->buffer);
    close(connection->descriptor);
}

static void watch(struct connection *connection, int operation)
{
    struct epoll_event event = { .events = connection->wants_out ? EPOLLIN | EPOLLOUT : EPOLLIN,
                                 .data.ptr = connection };
    check(epoll_ctl(connection->poller, operation, connection->descriptor, &event) == 0);
}

void connection_join(struct connection *connection, int poller)
{
    connection->poller = poller;
    watch(connection, EPOLL_CTL_ADD);
}

/* --- slots --------------------------------------------------------------------------------------- */

uint8_t *slot_memory(struct slot *slot, size_t size)
{
    if (size > slot->memory_capacity) {
        slot->memory = check_memory(realloc(slot->memory, size));
        slot->memory_capacity = size;
    }
    return slot->memory;
}

void slot_add_piece(struct slot *slot, const void *data, size_t size)
{
    if (slot->piece_count == slot->piece_capacity) {
        slot->piece_capacity = slot->piece_capacity ? 2 * slot->piece_capacity : 2;
        slot->pieces =
            check_memory(realloc(slot->pieces, (size_t)slot->piece_capacity * sizeof *slot->pieces));
    }
    slot->pieces[slot->piece_count++] = (struct iovec){ (void *)data, size };
}

static struct slot *slot_of(const struct connection *connection, uint64_t number)
{
    return &connection->slots[number % connection->depth];
}

/* --- making -------------------------------------------------------------------------------------- */

static bool may_make(struct connection *connection)
{
    struct engine *engine = connection->engine;
    if (connection->exhausted || connection->made - connection->done == connection->depth)
        return false;
    if (connection->interval_ns > 0 && connection->made == connection->owed)
        return false;
    if (atomic_load_explicit(&engine->stopping, memory_order_relaxed))
        return false;
    if (engine->total_size > 0 &&
        atomic_load_explicit(&engine->reserved_size, memory_order_relaxed) >= engine->total_size) {
        atomic_store_explicit(&engine->stopping, true, memory_order_relaxed);
        return false;
    }
    return true;
}

static void make(struct connection *connection, uint64_t now)
{
    struct slot *slot = slot_of(connection, connection->made);
    slot->due_ns =
        connection->interval_ns > 0
            ? (uint64_t)(connection->first_due_ns + (double)connection->made * connection->interval_ns)
            : now;
    slot->piece_count = slot->piece_next = 0;
    slot->records = 0;
    slot->size = 0;
    connection->kind->make(connection, slot, (uint32_t)++connection->made);
    if (slot->size > 0)
        atomic_fetch_add_explicit(&connection->engine->reserved_size, slot->size, memory_order_relaxed);
}

/* --- done ---------------------------------------------------------------------------------------- */

static void count(_Atomic uint64_t *counter, uint64_t more)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more,
                          memory_order_relaxed);
}

static void finish(struct connection *connection, const struct slot *slot, uint64_t now)
{
    const struct engine *engine = connection->engine;
    struct lane *lane = connection->lane;
    uint64_t end = atomic_load_explicit(&engine->end_ns, memory_order_relaxed);
    connection->done++;
    if (now >= engine->begin_ns && now < end) {
        count(&lane->requests, 1);
        count(&lane->records, slot->records);
        count(&lane->size, slot->size);
        lane->last_ns = now;
    }
    if (!connection->kind->times_itself && slot->due_ns >= engine->begin_ns && slot->due_ns < end)
        histogram_add(&lane->latency, now > slot->due_ns ? now - slot->due_ns : 0);
}

static void take(struct connection *connection, slice frame, uint64_t now)
{
    struct slot *slot = slot_of(connection, connection->done);
    if (connection->done == connection->sent || frame.size < 4 ||
        load_be32(frame.data) != (uint32_t)(connection->done + 1))
        load_fail("an answer out of turn");
    uint64_t reserved = slot->size;
    connection->kind->take(connection, slot, frame, now);
    if (slot->size > reserved)
        atomic_fetch_add_explicit(&connection->engine->reserved_size, slot->size - reserved,
                                  memory_order_relaxed);
    finish(connection, slot, now);
}

/* --- sending ------------------------------------------------------------------------------------- */

static int gather(const struct connection *connection, struct iovec out[PIECES_MAX])
{
    int count_out = 0;
    for (uint64_t i = connection->sent; i < connection->made; i++) {
        const struct slot *slot = slot_of(connection, i);
        for (int p = slot->piece_next; p < slot->piece_count; p++) {
            if (count_out == PIECES_MAX)
                return count_out;
            out[count_out++] = slot->pieces[p];
        }
    }
    return count_out;
}

static void advance(struct connection *connection, size_t size)
{
    while (connection->sent < connection->made) {
        struct slot *slot = slot_of(connection, connection->sent);
        for (; slot->piece_next < slot->piece_count; slot->piece_next++) {
            struct iovec *piece = &slot->pieces[slot->piece_next];
            if (size < piece->iov_len) {
                piece->iov_base = (uint8_t *)piece->iov_base + size;
                piece->iov_len -= size;
                return;
            }
            size -= piece->iov_len;
        }
        connection->sent++;
        if (!connection->kind->answered)
            finish(connection, slot, now_ns());
    }
}

/* Whether all went out. */
static bool send_made(struct connection *connection)
{
    while (connection->sent < connection->made) {
        struct iovec pieces[PIECES_MAX];
        struct msghdr message = { .msg_iov = pieces, .msg_iovlen = (size_t)gather(connection, pieces) };
        ssize_t sent = sendmsg(connection->descriptor, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN)
            return false;
        if (sent < 0)
            load_fail("send: %s", strerror(errno));
        advance(connection, (size_t)sent);
    }
    return true;
}

void connection_go_on(struct connection *connection)
{
    uint64_t now = now_ns();
    while (may_make(connection))
        make(connection, now);
    bool all_sent = send_made(connection);
    /* Without answers, the socket itself says when there is room for more. */
    bool endless = !connection->kind->answered && connection->interval_ns == 0;
    bool wants_out = !all_sent || endless;
    if (connection->wants_out != wants_out) {
        connection->wants_out = wants_out;
        watch(connection, EPOLL_CTL_MOD);
    }
}

/* --- receiving ----------------------------------------------------------------------------------- */

static size_t frame_size(const struct connection *connection)
{
    size_t have = connection->buffer_end - connection->buffer_begin;
    return have < LENGTH_SIZE ? 0 : LENGTH_SIZE + load_be32(connection->buffer + connection->buffer_begin);
}

/* Room for the frame that has begun, or for some small ones. */
static void make_room(struct connection *connection)
{
    size_t have = connection->buffer_end - connection->buffer_begin;
    size_t wanted = frame_size(connection);
    if (wanted < BUFFER_SIZE_MIN)
        wanted = BUFFER_SIZE_MIN;
    if (connection->buffer_begin > 0 && connection->buffer_begin + wanted > connection->buffer_capacity) {
        memmove(connection->buffer, connection->buffer + connection->buffer_begin, have);
        connection->buffer_begin = 0;
        connection->buffer_end = have;
    }
    if (wanted > connection->buffer_capacity) {
        connection->buffer = check_memory(realloc(connection->buffer, wanted));
        connection->buffer_capacity = wanted;
    }
}

static void take_frames(struct connection *connection)
{
    uint64_t now = now_ns();
    for (;;) {
        size_t size = frame_size(connection);
        if (size == 0 || size > connection->buffer_end - connection->buffer_begin)
            return;
        take(connection,
             slice_of(connection->buffer + connection->buffer_begin + LENGTH_SIZE, size - LENGTH_SIZE), now);
        connection->buffer_begin += size;
        if (connection->buffer_begin == connection->buffer_end)
            connection->buffer_begin = connection->buffer_end = 0;
    }
}

void connection_receive(struct connection *connection)
{
    for (;;) {
        make_room(connection);
        size_t room = connection->buffer_capacity - connection->buffer_end;
        ssize_t got =
            recv(connection->descriptor, connection->buffer + connection->buffer_end, room, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            break;
        if (got <= 0)
            load_fail("the server closed a connection%s%s", got < 0 ? ": " : "",
                      got < 0 ? strerror(errno) : "");
        connection->buffer_end += (size_t)got;
        take_frames(connection);
        if ((size_t)got < room)
            break;
    }
    connection_go_on(connection);
}

void connection_exhaust(struct connection *connection)
{
    if (!connection->exhausted)
        connection->lane->exhausted++;
    connection->exhausted = true;
}

bool connection_is_busy(const struct connection *connection)
{
    return connection->kind->drains && connection->done < connection->made;
}
