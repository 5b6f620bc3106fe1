/* meta.properties: parser and writer. */
#include "storage/meta_properties.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { TOKEN_SIZE_MAX = 512 };

struct token {
    uint8_t bytes[TOKEN_SIZE_MAX];
    size_t size;
    bool too_long;
};

static void add(struct token *token, uint8_t byte)
{
    if (token->size < sizeof token->bytes)
        token->bytes[token->size++] = byte;
    else
        token->too_long = true;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\f';
}

static bool is_line_end(uint8_t c)
{
    return c == '\n' || c == '\r';
}

/* The rest of the text without leading white space. */
static void skip_blanks(slice *text)
{
    while (text->size && is_blank(text->data[0])) {
        text->data++;
        text->size--;
    }
}

static uint8_t next_byte(slice *text)
{
    text->size--;
    return *text->data++;
}

/* What stands behind a backslash: a line end joins the lines, letters mean control characters. */
static void add_escaped(struct token *token, slice *text)
{
    if (text->size == 0)
        return;
    uint8_t c = next_byte(text);
    if (is_line_end(c)) {
        if (c == '\r' && text->size && text->data[0] == '\n')
            next_byte(text);
        skip_blanks(text);
        return;
    }
    if (c == 'u') { /* no value of ours has characters beyond ASCII */
        token->too_long = true;
        return;
    }
    add(token, c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c == 'f' ? '\f' : c);
}

static void read_key(slice *text, struct token *key)
{
    while (text->size && !is_line_end(text->data[0])) {
        uint8_t c = text->data[0];
        if (c == '=' || c == ':' || is_blank(c))
            break;
        next_byte(text);
        if (c == '\\')
            add_escaped(key, text);
        else
            add(key, c);
    }
    skip_blanks(text);
    if (text->size && (text->data[0] == '=' || text->data[0] == ':')) {
        next_byte(text);
        skip_blanks(text);
    }
}

static void read_value(slice *text, struct token *value)
{
    while (text->size && !is_line_end(text->data[0])) {
        uint8_t c = next_byte(text);
        if (c == '\\')
            add_escaped(value, text);
        else
            add(value, c);
    }
}

/* The next key and value; false at the end. */
static bool next_pair(slice *text, struct token *key, struct token *value)
{
    key->size = value->size = 0;
    key->too_long = value->too_long = false;
    for (;;) {
        skip_blanks(text);
        if (text->size == 0)
            return false;
        if (is_line_end(text->data[0])) {
            next_byte(text);
            continue;
        }
        if (text->data[0] != '#' && text->data[0] != '!')
            break;
        while (text->size && !is_line_end(text->data[0]))
            next_byte(text);
    }
    read_key(text, key);
    read_value(text, value);
    return true;
}

static bool parse_int32(const struct token *token, int32_t *out)
{
    int64_t value = 0;

    if (token->size == 0 || token->size > 10)
        return false;
    for (size_t i = 0; i < token->size; i++) {
        if (token->bytes[i] < '0' || token->bytes[i] > '9')
            return false;
        value = value * 10 + (token->bytes[i] - '0');
    }
    *out = (int32_t)value;
    return value <= INT32_MAX;
}

static bool take_pair(struct meta_properties *out, const struct token *key, const struct token *value,
                      int32_t *broker_id)
{
    slice name = slice_of(key->bytes, key->size);
    slice text = slice_of(value->bytes, value->size);

    if (key->too_long)
        return true;
    if (slice_equal_string(name, "version"))
        return parse_int32(value, &out->version) && out->version <= 1;
    if (slice_equal_string(name, "node.id"))
        return parse_int32(value, &out->node_id);
    if (slice_equal_string(name, "broker.id"))
        return parse_int32(value, broker_id);
    if (slice_equal_string(name, "directory.id"))
        return !value->too_long && uuid_from_text(text, &out->directory_id);
    if (!slice_equal_string(name, "cluster.id"))
        return true;
    if (value->too_long || text.size == 0 || text.size > META_CLUSTER_ID_SIZE_MAX ||
        memchr(text.data, '\0', text.size))
        return false;
    memcpy(out->cluster_id, text.data, text.size);
    out->cluster_id[text.size] = '\0';
    return true;
}

bool meta_properties_parse(slice text, struct meta_properties *out)
{
    struct token key;
    struct token value;
    int32_t broker_id = -1;

    *out = (struct meta_properties){ .node_id = -1, .version = -1 };
    while (next_pair(&text, &key, &value)) {
        if (!take_pair(out, &key, &value, &broker_id))
            return false;
    }
    if (out->version == 0 && out->node_id < 0)
        out->node_id = broker_id;
    return true;
}

char *meta_properties_text(const struct meta_properties *properties)
{
    char escaped[2 * META_CLUSTER_ID_SIZE_MAX + 1];
    char id[UUID_TEXT_SIZE + 1];
    char *out = escaped;
    char *text;

    for (const char *p = properties->cluster_id; *p; p++) {
        if (strchr("\\:=#! ", *p))
            *out++ = '\\';
        *out++ = *p;
    }
    *out = '\0';
    uuid_to_text(properties->directory_id, id);
    if (asprintf(&text, "#\nversion=1\ncluster.id=%s\nnode.id=%" PRId32 "\ndirectory.id=%s\n", escaped,
                 properties->node_id, id) < 0)
        return NULL;
    return text;
}
