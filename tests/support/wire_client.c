/* The blocking test client: sockets, frames, and the generated codec in the client's direction. */
#include "tests/support/wire_client.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "codec/apis.h"
#include "protocol/base/bytes.h"
#include "protocol/base/check.h"

static int connect_to(const char *host, const char *port)
{
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found;
    if (getaddrinfo(host, port, &hints, &found) != 0)
        return -1;
    int descriptor = -1;
    for (struct addrinfo *a = found; a && descriptor < 0; a = a->ai_next) {
        descriptor = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, 0);
        if (descriptor >= 0 && connect(descriptor, a->ai_addr, a->ai_addrlen) != 0) {
            close(descriptor);
            descriptor = -1;
        }
    }
    freeaddrinfo(found);
    return descriptor;
}

bool wire_connect(struct wire_client *client, const char *address, int timeout_ms)
{
    char host[256];
    const char *colon = strrchr(address, ':');
    check(colon && (size_t)(colon - address) < sizeof host);
    const char *from = address[0] == '[' ? address + 1 : address;
    size_t size = (size_t)(colon - from) - (address[0] == '[' ? 1 : 0);
    memcpy(host, from, size);
    host[size] = '\0';
    *client = (struct wire_client){ .descriptor = connect_to(host, colon + 1) };
    arena_init(&client->arena, NULL);
    if (client->descriptor < 0)
        return false;
    struct timeval timeout = { .tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000 };
    int yes = 1;
    setsockopt(client->descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(client->descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    setsockopt(client->descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    return true;
}

void wire_close(struct wire_client *client)
{
    if (client->descriptor >= 0)
        close(client->descriptor);
    client->descriptor = -1;
    arena_destroy(&client->arena);
    free(client->frame);
    client->frame = NULL;
}

bool wire_send_bytes(struct wire_client *client, const void *bytes, size_t size)
{
    const uint8_t *next = bytes;
    while (size > 0) {
        ssize_t sent = send(client->descriptor, next, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        next += sent;
        size -= (size_t)sent;
    }
    return true;
}

bool wire_receive_bytes(struct wire_client *client, void *out, size_t size)
{
    uint8_t *next = out;
    while (size > 0) {
        ssize_t got = recv(client->descriptor, next, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        next += got;
        size -= (size_t)got;
    }
    return true;
}

bool wire_receive_frame(struct wire_client *client, slice *out)
{
    uint8_t length[4];
    if (!wire_receive_bytes(client, length, sizeof length))
        return false;
    size_t size = load_be32(length);
    if (size > client->frame_capacity) {
        client->frame = check_memory(realloc(client->frame, size));
        client->frame_capacity = size;
    }
    *out = slice_of(client->frame, size);
    return wire_receive_bytes(client, client->frame, size);
}

bool wire_is_closed_by_peer(struct wire_client *client)
{
    char rest[4096];
    ssize_t got;
    do
        got = recv(client->descriptor, rest, sizeof rest, 0);
    while (got > 0 || (got < 0 && errno == EINTR));
    return got == 0 || errno == ECONNRESET;
}

slice wire_encode(struct arena *arena, int16_t api_key, int16_t version, int32_t correlation_id,
                  slice client_id, const void *request)
{
    const struct api_schema *schema = api_schema_find(api_key);
    check(schema != NULL);
    struct chain chain;
    struct writer writer;
    chain_init(&chain, arena);
    writer_init(&writer, &chain);
    struct request_header header = { .api_key = api_key, .api_version = version,
                                     .correlation_id = correlation_id, .client_id = client_id };
    bool ok = writer_begin_frame(&writer) && request_header_encode(&writer, &header) &&
              schema->request.encode(&writer, version, request) && writer_end_frame(&writer);
    if (!ok)
        return SLICE_NULL;
    uint8_t *bytes = check_memory(arena_alloc(arena, chain.size));
    size_t size = 0;
    for (size_t i = 0; i < chain.count; i++) {
        memcpy(bytes + size, chain.parts[i].bytes.data, chain.parts[i].bytes.size);
        size += chain.parts[i].bytes.size;
    }
    return slice_of(bytes, size);
}

bool wire_send(struct wire_client *client, int16_t api_key, int16_t version, const void *request)
{
    struct arena arena;
    arena_init(&arena, NULL);
    slice frame = wire_encode(&arena, api_key, version, ++client->correlation_id, SLICE_LITERAL("wire"), request);
    bool sent = !slice_is_null(frame) && wire_send_bytes(client, frame.data, frame.size);
    arena_destroy(&arena);
    return sent;
}

bool wire_receive(struct wire_client *client, int16_t api_key, int16_t version, int32_t correlation_id,
                  void *response)
{
    const struct api_schema *schema = api_schema_find(api_key);
    check(schema != NULL);
    slice frame;
    int32_t got_id;
    arena_reset(&client->arena);
    if (!wire_receive_frame(client, &frame))
        return false;
    struct reader reader;
    reader_init(&reader, frame, &client->arena);
    schema->response.init(response);
    return response_header_decode(&reader, api_key, version, &got_id) && got_id == correlation_id &&
           schema->response.decode(&reader, version, response);
}

bool wire_call(struct wire_client *client, int16_t api_key, int16_t version, const void *request,
               void *response)
{
    return wire_send(client, api_key, version, request) &&
           wire_receive(client, api_key, version, client->correlation_id, response);
}
