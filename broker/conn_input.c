/* The way in: bytes from the socket, cut into frames, kept while they may not run. */
#include <stdlib.h>

#include "broker/loop_internal.h"
#include "protocol/base/bytes.h"
#include "protocol/base/check.h"

enum { FRAME_LENGTH_SIZE = 4, FRAME_SIZE_MIN = 8 }; /* api key 2, version 2, correlation id 4 */

static size_t kept_size(const struct conn *conn)
{
    return conn->input ? conn->input_end - conn->input_start : 0;
}

/* -- what is no frame --------------------------------------------------------------------------- */

static bool begins_with(const uint8_t *bytes, const char *text)
{
    return memcmp(bytes, text, FRAME_LENGTH_SIZE) == 0;
}

/* Names the usual reasons for an impossible length (facts: protocol 2.1). */
static void refuse_length(struct conn *conn, const uint8_t *bytes)
{
    static const char *const http[] = { "GET ", "POST", "PUT ", "HEAD", "HTTP", "OPTI", "CONN", "DELE" };
    if (bytes[0] == 0x16 && bytes[1] == 0x03) {
        conn_refuse(conn, "tls_on_plaintext_listener",
                    "the client speaks TLS here; set its security.protocol=PLAINTEXT");
        return;
    }
    for (size_t i = 0; i < sizeof http / sizeof http[0]; i++) {
        if (begins_with(bytes, http[i])) {
            conn_refuse(conn, "http_on_kafka_listener", "the client speaks HTTP; this port speaks Kafka");
            return;
        }
    }
    int32_t size = (int32_t)load_be32(bytes);
    if (size >= FRAME_SIZE_MIN)
        conn_refuse(conn, "frame_too_large", "the frame is longer than socket.request.max.bytes");
    else
        conn_refuse(conn, "frame_size_invalid", "no request is that short");
}

static bool frame_size_ok(const struct conn *conn, const uint8_t *bytes, size_t *size)
{
    int32_t announced = (int32_t)load_be32(bytes);
    *size = announced > 0 ? (size_t)announced : 0;
    return announced >= FRAME_SIZE_MIN && *size <= conn->loop->frame_size_max;
}

/* A request that appends has its effect when the append is made, on a worker perhaps, and its answer later. In
 * between only what appends as well may run, as logs keep the order of their appends: Kafka, which has one request
 * of a connection at a time, never lets a DeleteTopics take the log from under the Produce before it. */
static bool is_held_back(const struct conn *conn, const uint8_t *bytes)
{
    if (conn->append_count == 0)
        return false;
    const struct api_row *row = api_row_find((int16_t)load_be16(bytes + FRAME_LENGTH_SIZE));
    return !row || !(row->flags & API_OVERLAP);
}

/* -- running ------------------------------------------------------------------------------------ */

/* Executes the whole frames in front, as long as that is allowed. Returns the bytes of these. */
static size_t run_frames(struct conn *conn, const uint8_t *bytes, size_t size)
{
    size_t used = 0, frame_size;
    while (size - used >= FRAME_LENGTH_SIZE && conn_may_execute(conn)) {
        if (!frame_size_ok(conn, bytes + used, &frame_size)) {
            refuse_length(conn, bytes + used);
            break;
        }
        if (size - used - FRAME_LENGTH_SIZE < frame_size || is_held_back(conn, bytes + used))
            break;
        conn->frame_started_ms = 0;
        if (!dispatch_frame(conn, slice_of(bytes + used + FRAME_LENGTH_SIZE, frame_size)))
            break;
        used += FRAME_LENGTH_SIZE + frame_size;
    }
    return used;
}

bool conn__may_run_next(const struct conn *conn)
{
    if (!conn_may_execute(conn))
        return false;
    size_t frame_size;
    const uint8_t *bytes = conn->input ? conn->input->bytes + conn->input_start : NULL;
    bool is_held = conn__has_frame(conn) && frame_size_ok(conn, bytes, &frame_size) && is_held_back(conn, bytes);
    return !is_held;
}

/* The clock of an unfinished frame runs only while nothing but the peer keeps it from running. */
static void watch_frame(struct conn *conn)
{
    conn->frame_arrived = kept_size(conn);
    if (conn->frame_arrived == 0 || !conn__may_run_next(conn))
        conn->frame_started_ms = 0;
    else if (conn->frame_started_ms == 0)
        conn->frame_started_ms = conn->loop->mono_ms;
}

int64_t conn__frame_deadline_ms(const struct conn *conn)
{
    if (conn->frame_started_ms == 0)
        return INT64_MAX;
    return conn->frame_started_ms + CONN_FRAME_MS + (int64_t)(conn->frame_arrived / CONN_FRAME_BYTES_PER_MS);
}

bool conn__has_frame(const struct conn *conn)
{
    size_t size = kept_size(conn), frame_size;
    if (size < FRAME_LENGTH_SIZE)
        return false;
    if (!frame_size_ok(conn, conn->input->bytes + conn->input_start, &frame_size))
        return true; /* there is something to refuse */
    return size - FRAME_LENGTH_SIZE >= frame_size;
}

void conn__forget_input(struct conn *conn)
{
    if (conn->input)
        loop__spend(conn->loop, conn->input);
    conn->input = NULL;
    conn->input_start = 0;
    conn->input_end = 0;
    conn->frame_started_ms = 0;
}

void conn__run_input(struct conn *conn)
{
    if (conn->input)
        conn->input_start +=
            run_frames(conn, conn->input->bytes + conn->input_start, conn->input_end - conn->input_start);
    if (conn->is_ending || kept_size(conn) == 0)
        conn__forget_input(conn);
    watch_frame(conn);
}

/* -- keeping ------------------------------------------------------------------------------------ */

/* Memory follows the bytes that have arrived, twice as many at most, never the announced length. */
static size_t wanted_capacity(const struct conn *conn, const uint8_t *bytes, size_t size)
{
    size_t wanted = 2 * size, frame_size;
    if (wanted < CONN_INPUT_MIN)
        wanted = CONN_INPUT_MIN;
    if (size < FRAME_LENGTH_SIZE || !frame_size_ok(conn, bytes, &frame_size))
        return wanted;
    frame_size += FRAME_LENGTH_SIZE;
    if (frame_size > size && frame_size < wanted)
        return frame_size;
    return wanted;
}

static struct input_buffer *buffer_create(struct loop *loop, size_t capacity)
{
    if (!budget_take(&loop->budget, sizeof(struct input_buffer) + capacity))
        return NULL;
    struct input_buffer *buffer = malloc(sizeof *buffer + capacity);
    if (!buffer) {
        budget_give(&loop->budget, sizeof *buffer + capacity);
        return NULL;
    }
    buffer->capacity = capacity;
    return buffer;
}

/* Keeps bytes that lie in the receive buffer; nothing is kept so far. */
static bool keep(struct conn *conn, const uint8_t *bytes, size_t size)
{
    check(!conn->input);
    struct input_buffer *buffer = buffer_create(conn->loop, wanted_capacity(conn, bytes, size));
    if (!buffer)
        return false;
    memcpy(buffer->bytes, bytes, size);
    conn->input = buffer;
    conn->input_start = 0;
    conn->input_end = size;
    return true;
}

/* Makes room behind the kept bytes. They move to another buffer, as appends of this turn may still
 * point into the old one. */
static bool make_room(struct conn *conn)
{
    if (conn->input_end < conn->input->capacity)
        return true;
    const uint8_t *bytes = conn->input->bytes + conn->input_start;
    size_t size = kept_size(conn);
    struct input_buffer *buffer = buffer_create(conn->loop, wanted_capacity(conn, bytes, size));
    if (!buffer)
        return false;
    memcpy(buffer->bytes, bytes, size);
    loop__spend(conn->loop, conn->input);
    conn->input = buffer;
    conn->input_start = 0;
    conn->input_end = size;
    return true;
}

/* -- reading ------------------------------------------------------------------------------------ */

bool conn__wants_input(const struct conn *conn)
{
    if (conn->is_closed || conn->is_ending || conn->input_ended || conn->is_starved)
        return false;
    if (conn->output_size >= CONN_OUTPUT_MAX)
        return false;
    return conn__may_run_next(conn) || kept_size(conn) < CONN_READ_AHEAD;
}

/* Most bytes: whole frames run where they were received, what is left over is kept. */
static enum transport_status read_to_loop(struct conn *conn, bool *is_full)
{
    struct loop *loop = conn->loop;
    uint8_t *at;
    size_t room, got;
    loop__receive_space(loop, &at, &room);
    enum transport_status status = conn->transport->ops->read(conn->transport, at, room, &got);
    *is_full = got == room;
    if (status != TRANSPORT_OK)
        return status;
    size_t used = run_frames(conn, at, got);
    loop__receive_done(loop, at + used);
    if (used < got && !conn->is_ending && !keep(conn, at + used, got - used))
        conn_refuse(conn, "memory_exhausted", "queued.max.request.bytes are in use by other clients");
    watch_frame(conn);
    return TRANSPORT_OK;
}

/* The rest of a frame that began in an earlier read goes where its beginning is. */
static enum transport_status read_to_input(struct conn *conn, bool *is_full)
{
    size_t got;
    *is_full = false;
    if (!make_room(conn)) {
        loop__starve(conn->loop, conn);
        return TRANSPORT_AGAIN;
    }
    size_t room = conn->input->capacity - conn->input_end;
    enum transport_status status =
        conn->transport->ops->read(conn->transport, conn->input->bytes + conn->input_end, room, &got);
    *is_full = got == room;
    if (status != TRANSPORT_OK)
        return status;
    conn->input_end += got;
    conn__run_input(conn);
    return TRANSPORT_OK;
}

bool conn_readable(struct conn *conn)
{
    bool is_full = true;
    conn__run_input(conn);
    for (unsigned i = 0; i < CONN_READS_PER_TURN && is_full && conn__wants_input(conn); i++) {
        enum transport_status status =
            conn->input ? read_to_input(conn, &is_full) : read_to_loop(conn, &is_full);
        if (status == TRANSPORT_AGAIN)
            return false;
        if (status != TRANSPORT_OK) {
            conn->input_ended = true;
            return false;
        }
        conn->active_ms = conn->loop->mono_ms;
    }
    return is_full;
}

void conn_fed(struct conn *conn)
{
    conn->is_starved = false;
    conn_readable(conn);
    conn_touch(conn);
}
