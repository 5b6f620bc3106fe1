/* Makes Kafka's UUIDs and their text form. */
#include "protocol/base/uuid.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

enum { DASH_VALUE = 62 };

uuid uuid_random(struct random *random)
{
    uuid id;
    do {
        random_bytes(random, id.bytes, sizeof id.bytes);
    } while (id.bytes[0] >> 2 == DASH_VALUE);
    /* The version makes the high half non-zero, so that Kafka's reserved ids are never drawn. */
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x40);
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
    return id;
}

void uuid_to_text(uuid id, char out[UUID_TEXT_SIZE + 1])
{
    uint32_t bits = 0;
    int bit_count = 0;
    char *to = out;
    for (size_t i = 0; i < sizeof id.bytes; i++) {
        bits = bits << 8 | id.bytes[i];
        bit_count += 8;
        while (bit_count >= 6) {
            bit_count -= 6;
            *to++ = alphabet[bits >> bit_count & 63];
        }
    }
    *to++ = alphabet[bits << (6 - bit_count) & 63];
    *to = '\0';
}

static int value_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '-')
        return DASH_VALUE;
    return c == '_' ? 63 : -1;
}

bool uuid_from_text(slice text, uuid *out)
{
    *out = UUID_ZERO;
    if (text.size != UUID_TEXT_SIZE)
        return false;
    uuid id = UUID_ZERO;
    uint32_t bits = 0;
    int bit_count = 0;
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        int value = value_of(text.data[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            id.bytes[size++] = (uint8_t)(bits >> bit_count);
        }
    }
    /* The last character's four surplus bits are ignored, as Java's decoder does. */
    *out = id;
    return true;
}
