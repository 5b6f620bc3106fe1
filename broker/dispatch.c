/* From a frame to its handler, and from the response to bytes. */
#include "broker/dispatch.h"

#include <stdio.h>

#include "broker/handlers/handlers.h"
#include "broker/loop_internal.h"
#include "broker/server.h"
#include "codec/apis.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"

#define API(NAME, key, name, min, max, flags)                                                                \
    static enum handled run_##name(struct request *rq)                                                       \
    {                                                                                                        \
        return handle_##name(rq, rq->in, rq->out);                                                           \
    }
#include "broker/apis.def"
#undef API

static struct api_row rows[] = {
#define API(NAME, key, name, min, max, flags) { key, min, max, flags, run_##name, NULL },
#include "broker/apis.def"
#undef API
};

enum { ROW_COUNT = sizeof rows / sizeof rows[0], KEY_MAX = 128 };

static uint8_t row_of_key[KEY_MAX]; /* its place + 1; 0: not served */

/* The table is one, in two places: our rows say what is served, the schemas how it looks. */
static void link_rows(void)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        struct api_row *row = &rows[i];
        check(row->key >= 0 && row->key < KEY_MAX && (i == 0 || rows[i - 1].key < row->key));
        row->schema = api_schema_find(row->key);
        check(row->schema);
        check(row->schema->min_version <= row->served_min && row->served_max <= row->schema->max_version);
        row_of_key[row->key] = (uint8_t)(i + 1);
    }
}

const struct api_row *api_rows(size_t *count)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, link_rows);
    *count = ROW_COUNT;
    return rows;
}

const struct api_row *api_row_find(int16_t key)
{
    size_t count;
    const struct api_row *all = api_rows(&count);
    return key >= 0 && key < KEY_MAX && row_of_key[key] > 0 ? &all[row_of_key[key] - 1] : NULL;
}

/* -- in ----------------------------------------------------------------------------------------- */

/* A client that knows ApiVersions better than we do is told our range, in words of version 0, and
 * asks again (facts: protocol 2.4). */
static void answer_api_versions(struct request *rq)
{
    struct api_versions_response *out = arena_alloc_array(&rq->arena, 1, sizeof *out);
    struct api_versions_response_api_key *own = arena_alloc_array(&rq->arena, 1, sizeof *own);
    if (!out || !own) {
        request_handled(rq, HANDLED_CLOSE);
        return;
    }
    api_versions_response_init(out);
    api_versions_response_api_key_init(own);
    own->api_key = rq->links->api->key;
    own->min_version = rq->links->api->served_min;
    own->max_version = rq->links->api->served_max;
    out->error_code = ERR_UNSUPPORTED_VERSION;
    out->api_keys = own;
    out->api_keys_count = 1;
    rq->api_version = 0;
    rq->out = out;
    request_handled(rq, HANDLED_DONE);
}

static void refuse_request(struct request *rq, const char *reason, const char *what)
{
    char detail[160];
    const struct api_schema *schema = api_schema_find(rq->api_key);
    snprintf(detail, sizeof detail, "api_key=%d api=%s version=%d %s", rq->api_key,
             schema ? schema->name : "unknown", rq->api_version, what);
    struct conn *conn = rq->conn;
    request_drop(rq);
    conn_refuse(conn, reason, detail);
}

/* The row, or NULL when the request was dealt with here. */
static const struct api_row *read_header(struct request *rq, struct reader *reader)
{
    struct request_header header = { .client_id = SLICE_NULL };
    bool ok = request_header_decode(reader, &header);
    bool is_known = ok || reader->status == CODEC_UNKNOWN_KEY || reader->status == CODEC_UNKNOWN_VERSION;
    if (!is_known) {
        struct conn *conn = rq->conn;
        request_drop(rq);
        conn_refuse(conn, "header_invalid", codec_status_text(reader->status));
        return NULL;
    }
    rq->api_key = header.api_key;
    rq->api_version = header.api_version;
    rq->correlation_id = header.correlation_id;
    const struct api_row *row = api_row_find(header.api_key);
    rq->links->api = row;
    if (!row) {
        refuse_request(rq, "api_not_served", "this broker does not serve it");
        return NULL;
    }
    if (header.api_version < row->served_min || header.api_version > row->served_max) {
        if (row->key == API_KEY_API_VERSIONS)
            answer_api_versions(rq);
        else
            refuse_request(rq, "version_not_served", "ApiVersions tells the range that is");
        return NULL;
    }
    bool copied = true;
    rq->client_id = arena_copy(&rq->arena, header.client_id, &copied);
    if (slice_is_null(rq->client_id))
        rq->client_id = SLICE_LITERAL("");
    if (!ok || !copied) {
        refuse_request(rq, "header_invalid", codec_status_text(ok ? CODEC_NO_MEMORY : reader->status));
        return NULL;
    }
    return row;
}

static bool read_body(struct request *rq, const struct api_row *row, struct reader *reader)
{
    slice body = slice_of(reader->next, reader_left(reader));
    bool copied = true;
    if (!(row->flags & API_IN_PLACE))
        body = arena_copy(&rq->arena, body, &copied);
    rq->in = arena_alloc(&rq->arena, row->schema->request.struct_size);
    rq->out = arena_alloc(&rq->arena, row->schema->response.struct_size);
    if (!copied || !rq->in || !rq->out)
        return reader_fail(reader, CODEC_NO_MEMORY);
    row->schema->request.init(rq->in);
    row->schema->response.init(rq->out);
    reader_init(reader, body, &rq->arena);
    return row->schema->request.decode(reader, rq->api_version, rq->in);
}

bool dispatch_frame(struct conn *conn, slice frame)
{
    struct request *rq = request_acquire(conn);
    if (!rq && conn->request_count > 0) {
        conn->is_crowded = true;
        return false;
    }
    if (!rq) {
        conn_refuse(conn, "memory_exhausted", "no memory for a request");
        return true;
    }
    struct reader reader;
    reader_init(&reader, frame, &rq->arena);
    const struct api_row *row = read_header(rq, &reader);
    if (!row)
        return true;
    if (!read_body(rq, row, &reader)) {
        refuse_request(rq, "request_invalid", codec_status_text(reader.status));
        return true;
    }
    rq->image = controller_image(rq->server->controller);
    request_handled(rq, row->run(rq));
    return true;
}

/* -- out ---------------------------------------------------------------------------------------- */

bool dispatch_encode(struct request *rq)
{
    struct request_link *link = rq->links;
    const struct message_schema *response = &link->api->schema->response;
    struct writer writer;
    chain_init(&link->reply, &rq->arena);
    writer_init(&writer, &link->reply);
    if (writer_begin_frame(&writer) &&
        response_header_encode(&writer, rq->api_key, rq->api_version, rq->correlation_id) &&
        response->encode(&writer, rq->api_version, rq->out) && writer_end_frame(&writer))
        return true;
    note_error("response.unencodable", "api=%s version=%d reason=\"%s\" the connection is closed",
               link->api->schema->name, rq->api_version, codec_status_text(writer.status));
    return false;
}
