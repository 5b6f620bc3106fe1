/* The way out: ready replies leave in order, many of them in one call. */
#include "broker/loop_internal.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "storage/log.h"

enum { GATHER_MAX = 128 };

static bool is_ready(const struct request *rq)
{
    return rq && rq->links->phase == REQUEST_DONE;
}

/* The parts of as many ready replies as fit, in order. */
static size_t gather(const struct conn *conn, struct chain_part *parts, size_t *size)
{
    size_t count = 0;
    *size = 0;
    for (struct request *rq = conn->first; is_ready(rq); rq = rq->links->next) {
        const struct request_link *link = rq->links;
        for (size_t i = link->sent_parts; i < link->reply.count; i++) {
            if (count == GATHER_MAX)
                return count;
            parts[count] = link->reply.parts[i];
            *size += parts[count++].bytes.size;
        }
    }
    return count;
}

/* Counts sent bytes off the replies in front; those that have left wholly are dropped. */
static void advance(struct conn *conn, size_t sent)
{
    check(sent <= conn->output_size);
    conn->output_size -= sent;
    while (is_ready(conn->first)) {
        struct request_link *link = conn->first->links;
        while (link->sent_parts < link->reply.count) {
            size_t left = link->reply.parts[link->sent_parts].bytes.size - link->sent_size;
            if (sent < left) {
                link->sent_size += sent;
                return;
            }
            sent -= left;
            link->sent_size = 0;
            link->sent_parts++;
        }
        request_drop(conn->first);
    }
    check(sent == 0);
}

static void note_media(struct conn *conn)
{
    static struct note_limit limit;
    uint32_t suppressed;
    if (note_allow(&limit, 1, &suppressed))
        note_error("fetch.unreadable",
                   "peer=%s suppressed=%u a segment could not be read while it was sent; "
                   "check the disk",
                   conn_peer(conn), suppressed);
}

/* Which byte it was is not told, only that it is among the next ones: all ranges that begin there are read with
 * more care from now on, so that the client, when it comes again, is told. */
static void mark_unreadable(const struct chain_part *parts, size_t count, size_t skip)
{
    enum { SUSPECT_SIZE = 1 << 20 };
    size_t size = 0;
    for (size_t i = 0; i < count && size < SUSPECT_SIZE; i++) {
        if (skip >= parts[i].bytes.size) {
            skip -= parts[i].bytes.size;
            continue;
        }
        size += parts[i].bytes.size - skip;
        skip = 0;
        if (parts[i].pin)
            log_range_failed(parts[i].pin);
    }
}

bool conn__flush(struct conn *conn)
{
    struct chain_part parts[GATHER_MAX];
    size_t left = CONN_WRITE_PER_TURN;
    while (is_ready(conn->first) && !conn->output_blocked) {
        size_t size, sent;
        size_t count = gather(conn, parts, &size);
        size_t skip = conn->first->links->sent_size;
        switch (conn->transport->ops->write(conn->transport, parts, count, skip, &sent)) {
        case TRANSPORT_OK:
            break;
        case TRANSPORT_AGAIN:
            conn->output_blocked = true;
            return true;
        case TRANSPORT_CLOSED:
            return false;
        case TRANSPORT_MEDIA:
            /* The length of the response has left, so there is no other way to tell the client. */
            mark_unreadable(parts, count, skip);
            note_media(conn);
            return false;
        }
        conn->active_ms = conn->loop->mono_ms;
        advance(conn, sent);
        /* The socket is full, or this peer has had its share of the turn: writability tells when
         * to go on. */
        left -= sent < left ? sent : left;
        if (sent < size - skip || left == 0)
            conn->output_blocked = is_ready(conn->first);
    }
    return true;
}
