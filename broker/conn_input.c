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

/* A request that appends has its effect when the append is made, on a worker perhaps, and its answer later.
 * In between only what appends as well may run, as logs keep the order of their appends: Kafka, which has one
 * request of a connection at a time, never lets a DeleteTopics take the log from under the Produce before it.
 */
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
        conn->expects_large = frame_size >= INPUT_LARGE_SIZE;
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
    bool is_held =
        conn__has_frame(conn) && frame_size_ok(conn, bytes, &frame_size) && is_held_back(conn, bytes);
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

/* The size of a large frame that begins with these bytes, and its length's; 0: another one, or not known yet.
 */
static size_t large_frame_size(const struct conn *conn, const uint8_t *bytes, size_t size)
{
    size_t frame_size;
    if (size < FRAME_LENGTH_SIZE || !frame_size_ok(conn, bytes, &frame_size) || frame_size < INPUT_LARGE_SIZE)
        return 0;
    return FRAME_LENGTH_SIZE + frame_size;
}

/* The same of what is kept, when it is not whole. */
static size_t large_frame_in_front(const struct conn *conn)
{
    size_t kept = kept_size(conn);
    size_t size = kept > 0 ? large_frame_size(conn, conn->input->bytes + conn->input_start, kept) : 0;
    return size > kept ? size : 0;
}

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

/* Keeps bytes that lie elsewhere, in a buffer from the pool; nothing is kept so far. */
static bool keep_in(struct conn *conn, struct input_buffer *buffer, const uint8_t *bytes, size_t size)
{
    if (!buffer)
        return false;
    memcpy(buffer->bytes, bytes, size);
    conn->input = buffer;
    conn->input_start = 0;
    conn->input_end = size;
    return true;
}

/* Keeps bytes that lie in the receive buffer. Of a large frame they are all that is paid for: its own memory
 * comes with the bytes that fill it. */
static bool keep(struct conn *conn, const uint8_t *bytes, size_t size)
{
    struct input_pool *pool = &conn->loop->input_pool;
    size_t frame_size = large_frame_size(conn, bytes, size), wanted = wanted_capacity(conn, bytes, size);
    if (frame_size <= size)
        return keep_in(conn, input_take_small(pool, wanted), bytes, size);
    if (wanted < INPUT_LARGE_SIZE)
        return keep_in(conn, input_take_small(pool, size), bytes, size);
    return keep_in(conn, input_take(pool, wanted, size), bytes, size);
}

/* Moves what is kept to another buffer, as appends of this turn may still point into the old one. */
static bool move_to(struct conn *conn, struct input_buffer *buffer)
{
    struct input_buffer *old = conn->input;
    if (!keep_in(conn, buffer, old->bytes + conn->input_start, kept_size(conn)))
        return false;
    loop__spend(conn->loop, old);
    return true;
}

static bool make_room(struct conn *conn)
{
    if (conn->input_end < conn->input->capacity)
        return true;
    size_t wanted = wanted_capacity(conn, conn->input->bytes + conn->input_start, kept_size(conn));
    return move_to(conn, input_take_small(&conn->loop->input_pool, wanted));
}

/* Room for the rest of a large frame of which so many bytes can be read at once. A mapped buffer that begins
 * with it has nothing that was executed, and grows as it is. */
static bool make_large_room(struct conn *conn, size_t frame_size, size_t there)
{
    struct input_pool *pool = &conn->loop->input_pool;
    size_t arrived = kept_size(conn) + there;
    size_t wanted = arrived < frame_size / 2 ? 2 * arrived : frame_size;
    if (!conn->input->is_mapped || conn->input_start > 0)
        return move_to(conn, input_take(pool, wanted, arrived));
    if (conn->input_end + there <= conn->input->capacity)
        return true;
    struct input_buffer *grown = input_grow(pool, conn->input, wanted);
    if (!grown)
        return false;
    conn->input = grown;
    return true;
}

/* -- reading ------------------------------------------------------------------------------------ */

bool conn__wants_input(const struct conn *conn)
{
    if (conn->is_closed || conn->is_ending || conn->input_ended || conn->is_starved)
        return false;
    if (conn->output_size >= CONN_OUTPUT_MAX)
        return false;
    return conn__may_run_next(conn) || (kept_size(conn) < CONN_READ_AHEAD && large_frame_in_front(conn) == 0);
}

/* Most bytes: whole frames run where they were received, what is left over is kept. Behind a large frame
 * there is another one, mostly: of that only the beginning is read, so that not much of it has to be moved.
 */
static enum transport_status read_to_loop(struct conn *conn, bool *is_full)
{
    struct loop *loop = conn->loop;
    uint8_t *at;
    size_t room, got;
    loop__receive_space(loop, &at, &room);
    if (conn->expects_large && room > CONN_INPUT_MIN)
        room = CONN_INPUT_MIN;
    enum transport_status status = conn->transport->ops->read(conn->transport, at, room, &got);
    *is_full = got == room;
    if (status != TRANSPORT_OK)
        return status;
    size_t used = run_frames(conn, at, got);
    loop__receive_done(loop, at + used);
    size_t left = got - used;
    if (left > 0 && !conn->is_ending && !keep(conn, at + used, left))
        conn_refuse(conn, "memory_exhausted", "queued.max.request.bytes are in use by other clients");
    watch_frame(conn);
    return TRANSPORT_OK;
}

/* How much of a large frame's rest can be read at once: all of it, or a good part. 0: the rest stays with the
 * transport, which tells when there is so much. Pieces that are read as they come are cold when the frame
 * runs, and who sends but a few takes no memory here. */
static size_t await_rest(struct conn *conn, size_t rest, bool is_patient)
{
    size_t wanted = !is_patient ? 1 : rest < CONN_AWAIT_MAX ? rest : CONN_AWAIT_MAX;
    size_t there = conn->transport->ops->await(conn->transport, wanted);
    return there < rest ? there : rest;
}

/* While requests hold much memory, large frames of who has appends outstanding wait a moment, and then have
 * their own all the same: one device that stands still must not keep others from theirs. */
static bool has_to_wait(struct conn *conn)
{
    bool is_tight = input_is_tight(&conn->loop->input_pool);
    if (is_tight && conn->append_count > 0)
        loop__append_now(conn->loop); /* what this turn has need not wait for anybody */
    conn->was_tight = is_tight && conn->append_count > 0 && !conn->was_tight;
    return conn->was_tight;
}

static enum transport_status read_more(struct conn *conn, size_t room, bool *is_full)
{
    size_t got;
    enum transport_status status =
        conn->transport->ops->read(conn->transport, conn->input->bytes + conn->input_end, room, &got);
    *is_full = got == room;
    if (status != TRANSPORT_OK)
        return status;
    conn->input_end += got;
    conn__run_input(conn);
    loop__append_early(conn->loop);
    return TRANSPORT_OK;
}

/* The rest of a large frame, and nothing of what follows it. */
static enum transport_status read_large(struct conn *conn, size_t frame_size, bool is_patient, bool *is_full)
{
    size_t rest = frame_size - kept_size(conn), there = await_rest(conn, rest, is_patient);
    if (there == 0)
        return TRANSPORT_AGAIN;
    if ((is_patient && has_to_wait(conn)) || !make_large_room(conn, frame_size, there)) {
        loop__starve(conn->loop, conn);
        return TRANSPORT_AGAIN;
    }
    size_t room = conn->input->capacity - conn->input_end;
    enum transport_status status = read_more(conn, room < rest ? room : rest, is_full);
    *is_full = status == TRANSPORT_OK; /* on to the next one, the peer's end, or another wait for the rest */
    return status;
}

/* The rest of a frame that began in an earlier read goes where its beginning is. */
static enum transport_status read_to_input(struct conn *conn, bool is_patient, bool *is_full)
{
    size_t frame_size = large_frame_in_front(conn);
    *is_full = false;
    if (frame_size > 0)
        return read_large(conn, frame_size, is_patient, is_full);
    if (!make_room(conn)) {
        loop__starve(conn->loop, conn);
        return TRANSPORT_AGAIN;
    }
    return read_more(conn, conn->input->capacity - conn->input_end, is_full);
}

static bool read_turn(struct conn *conn, bool is_patient)
{
    bool is_full = true;
    conn__run_input(conn);
    for (unsigned i = 0; i < CONN_READS_PER_TURN && is_full && conn__wants_input(conn); i++) {
        enum transport_status status =
            conn->input ? read_to_input(conn, is_patient, &is_full) : read_to_loop(conn, &is_full);
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

bool conn_readable(struct conn *conn)
{
    return read_turn(conn, true);
}

void conn__catch_up(struct conn *conn)
{
    if (large_frame_in_front(conn) > 0)
        read_turn(conn, false);
}

void conn_fed(struct conn *conn)
{
    conn->is_starved = false;
    conn_readable(conn);
    conn_touch(conn);
}
