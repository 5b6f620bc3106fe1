/* Small requests: ApiVersions, and bytes that an echo server sends back. */
#include <stdlib.h>

#include "codec/api_versions.h"
#include "protocol/base/bytes.h"
#include "protocol/base/check.h"
#include "tests/bench/load/kinds.h"
#include "tests/support/wire_client.h"

enum {
    API_VERSIONS_KEY = 18,
    API_VERSIONS_VERSION = 3,
    CORRELATION_POSITION = 8,
    ECHO_CORRELATION_POSITION = 4
};

struct ping {
    slice frame; /* of the first request; the others differ by their correlation id */
    size_t correlation_position;
    bool is_echo;
    struct arena arena;
};

static slice api_versions_frame(struct arena *arena)
{
    struct api_versions_request request;
    api_versions_request_init(&request);
    request.client_software_name = SLICE_LITERAL("load");
    request.client_software_version = SLICE_LITERAL("1");
    return wire_encode(arena, API_VERSIONS_KEY, API_VERSIONS_VERSION, 0, SLICE_LITERAL("load"), &request);
}

/* A length, a correlation id and as many bytes as a record has. */
static slice echo_frame(struct arena *arena, size_t record_size)
{
    size_t size = 4 + 4 + record_size;
    uint8_t *bytes = check_memory(arena_alloc(arena, size));
    memset(bytes, 'e', size);
    store_be32(bytes, (uint32_t)(size - 4));
    return slice_of(bytes, size);
}

static void make(struct connection *connection, struct slot *slot, uint32_t id)
{
    const struct ping *ping = connection->state;
    memcpy(slot_memory(slot, ping->frame.size), ping->frame.data, ping->frame.size);
    store_be32(slot->memory + ping->correlation_position, id);
    slot_add_piece(slot, slot->memory, ping->frame.size);
}

static void take(struct connection *connection, struct slot *slot, slice frame, uint64_t now)
{
    const struct ping *ping = connection->state;
    (void)slot, (void)now;
    if (!ping->is_echo && (frame.size < 6 || load_be16(frame.data + 4) != 0))
        load_fail("ApiVersions: error code %d", frame.size < 6 ? -1 : (int16_t)load_be16(frame.data + 4));
    if (ping->is_echo && frame.size != ping->frame.size - 4)
        load_fail("the echo has another size");
}

static const struct connection_kind kind = { .answered = true, .drains = true, .make = make, .take = take };

void ping_init(struct connection *connection, const struct plan *plan)
{
    struct ping *ping = check_memory(calloc(1, sizeof *ping));
    arena_init(&ping->arena, NULL);
    ping->is_echo = strcmp(plan->api, "echo") == 0;
    ping->frame =
        ping->is_echo ? echo_frame(&ping->arena, plan->record_size) : api_versions_frame(&ping->arena);
    ping->correlation_position = ping->is_echo ? ECHO_CORRELATION_POSITION : CORRELATION_POSITION;
    connection->state = ping;
    connection->kind = &kind;
}
