/* The transport of simulations: two ends in one process with a bounded buffer each way. */
#include <stdlib.h>

#include "broker/transport.h"
#include "protocol/base/check.h"

/* Bytes on their way in one direction. */
struct pipe {
    uint8_t *bytes; /* a ring */
    size_t capacity;
    size_t first;
    size_t size;
};

struct memory_transport {
    struct transport transport;
    struct memory_transport *other; /* NULL once that end is closed */
    struct pipe in;                 /* what the other end has written */
    char name[8];
};

static struct memory_transport *memory_of(struct transport *transport)
{
    return (struct memory_transport *)((char *)transport - offsetof(struct memory_transport, transport));
}

static void tell(struct memory_transport *end)
{
    if (end && end->transport.ready)
        end->transport.ready(end->transport.ready_context);
}

static enum transport_status memory_read(struct transport *transport, void *out, size_t size, size_t *got)
{
    struct memory_transport *end = memory_of(transport);
    struct pipe *pipe = &end->in;
    *got = 0;
    if (pipe->size == 0)
        return end->other ? TRANSPORT_AGAIN : TRANSPORT_CLOSED;
    if (size > pipe->size)
        size = pipe->size;
    size_t straight = pipe->capacity - pipe->first < size ? pipe->capacity - pipe->first : size;
    memcpy(out, pipe->bytes + pipe->first, straight);
    memcpy((uint8_t *)out + straight, pipe->bytes, size - straight);
    pipe->first = (pipe->first + size) % pipe->capacity;
    pipe->size -= size;
    *got = size;
    tell(end->other); /* there is room again */
    return TRANSPORT_OK;
}

/* Each write tells the reader, who asks again. */
static size_t memory_await(struct transport *transport, size_t size)
{
    const struct memory_transport *end = memory_of(transport);
    bool is_all = end->in.size >= size || end->in.size == end->in.capacity || !end->other;
    if (!is_all)
        return 0;
    return end->in.size > 0 ? end->in.size : 1; /* the end is there to be read */
}

static size_t pipe_put(struct pipe *pipe, const uint8_t *bytes, size_t size)
{
    if (size > pipe->capacity - pipe->size)
        size = pipe->capacity - pipe->size;
    if (size == 0)
        return 0;
    size_t at = (pipe->first + pipe->size) % pipe->capacity;
    size_t straight = pipe->capacity - at < size ? pipe->capacity - at : size;
    memcpy(pipe->bytes + at, bytes, straight);
    memcpy(pipe->bytes, bytes + straight, size - straight);
    pipe->size += size;
    return size;
}

static enum transport_status memory_write(struct transport *transport, const struct chain_part *parts,
                                          size_t count, size_t skip, size_t *sent)
{
    struct memory_transport *end = memory_of(transport);
    *sent = 0;
    if (!end->other)
        return TRANSPORT_CLOSED;
    for (size_t i = 0; i < count; i++) {
        size_t size = parts[i].bytes.size;
        if (skip >= size) {
            skip -= size;
            continue;
        }
        size_t put = pipe_put(&end->other->in, parts[i].bytes.data + skip, size - skip);
        *sent += put;
        if (put < size - skip)
            break;
        skip = 0;
    }
    if (*sent == 0)
        return TRANSPORT_AGAIN;
    tell(end->other);
    return TRANSPORT_OK;
}

static void memory_close(struct transport *transport)
{
    struct memory_transport *end = memory_of(transport);
    if (end->other) {
        end->other->other = NULL;
        tell(end->other);
    }
    free(end->in.bytes);
    free(end);
}

static int memory_descriptor(struct transport *transport)
{
    (void)transport;
    return -1;
}

static const char *memory_peer(struct transport *transport)
{
    return memory_of(transport)->name;
}

static const char *memory_local_host(struct transport *transport)
{
    (void)transport;
    return "localhost";
}

static int memory_local_port(struct transport *transport)
{
    (void)transport;
    return 9092;
}

static const struct transport_ops memory_ops = {
    .read = memory_read,
    .await = memory_await,
    .write = memory_write,
    .close = memory_close,
    .descriptor = memory_descriptor,
    .peer = memory_peer,
    .local_host = memory_local_host,
    .local_port = memory_local_port,
};

static struct memory_transport *make_end(size_t capacity)
{
    struct memory_transport *end = calloc(1, sizeof *end);
    uint8_t *bytes = malloc(capacity);
    if (!end || !bytes) {
        free(end);
        free(bytes);
        return NULL;
    }
    end->transport.ops = &memory_ops;
    end->in = (struct pipe){ .bytes = bytes, .capacity = capacity };
    memcpy(end->name, "memory", sizeof "memory");
    return end;
}

bool transport_pair(size_t capacity, struct transport *ends[2])
{
    check(capacity > 0);
    struct memory_transport *one = make_end(capacity);
    struct memory_transport *two = make_end(capacity);
    if (!one || !two) {
        if (one)
            memory_close(&one->transport);
        if (two)
            memory_close(&two->transport);
        return false;
    }
    one->other = two;
    two->other = one;
    ends[0] = &one->transport;
    ends[1] = &two->transport;
    return true;
}
