/* Reads schema files: lines of words, where deeper indentation opens a struct. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/gen/model.h"

enum { WORDS_MAX = 32, DEPTH_MAX = 16 };

struct line {
    const char *words[WORDS_MAX];
    int count;
    int next; /* the word to be read */
    int indent;
};

/* An open struct and the indentation of its fields, -1 until the first one. */
struct level {
    struct structure *structure;
    int indent;
};

struct parser {
    struct file *file;
    const char *path;
    int line_number;
    struct line line;
    struct api *api;
    struct record *record;
    struct message *message; /* that nested structs belong to */
    struct level levels[DEPTH_MAX];
    int depth;
    struct field *last_field;
};

#define FAIL(parser, ...) fail((parser)->path, (parser)->line_number, __VA_ARGS__)

static const char *peek(const struct parser *parser)
{
    const struct line *line = &parser->line;
    return line->next < line->count ? line->words[line->next] : NULL;
}

static const char *take(struct parser *parser, const char *what)
{
    const char *word = peek(parser);
    if (word == NULL)
        FAIL(parser, "%s expected at the end of the line", what);
    parser->line.next++;
    return word;
}

static bool take_word(struct parser *parser, const char *word)
{
    const char *seen = peek(parser);
    if (seen == NULL || strcmp(seen, word) != 0)
        return false;
    parser->line.next++;
    return true;
}

static void expect_end(struct parser *parser)
{
    if (peek(parser))
        FAIL(parser, "'%s' is not understood here", peek(parser));
}

static const char *take_name(struct parser *parser, const char *what)
{
    const char *name = take(parser, what);
    if (!islower((unsigned char)name[0]))
        FAIL(parser, "'%s' is no name: lower-case letters, digits and _ make one", name);
    for (const char *c = name; *c; c++)
        if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c) && *c != '_')
            FAIL(parser, "'%s' is no name: lower-case letters, digits and _ make one", name);
    return name;
}

static int take_number(struct parser *parser, const char *what, int max)
{
    const char *word = take(parser, what);
    char *end;
    errno = 0;
    long value = strtol(word, &end, 10);
    if (!isdigit((unsigned char)word[0]) || *end || errno || value > max)
        FAIL(parser, "'%s' is no %s: a number from 0 to %d is", word, what, max);
    return (int)value;
}

/* 3 or 2-4 or 3+ */
static struct range take_range(struct parser *parser)
{
    const char *word = take(parser, "versions");
    char *end;
    struct range range;
    range.first = range.last = (int)strtol(word, &end, 10);
    if (isdigit((unsigned char)word[0]) && *end == '-' && isdigit((unsigned char)end[1]))
        range.last = (int)strtol(end + 1, &end, 10);
    else if (isdigit((unsigned char)word[0]) && strcmp(end, "+") == 0)
        range.last = VERSION_LAST, end++;
    if (!isdigit((unsigned char)word[0]) || *end || range.last > VERSION_LAST || range_empty(range))
        FAIL(parser, "'%s' are no versions: 3 or 2-4 or 3+ are", word);
    return range;
}

static bool range_is_next(const struct parser *parser)
{
    return peek(parser) && isdigit((unsigned char)peek(parser)[0]);
}

/* flexible 3+ | flexible never */
static struct range take_flexible(struct parser *parser)
{
    if (take_word(parser, "never"))
        return RANGE_NONE;
    struct range range = take_range(parser);
    if (range.last != VERSION_LAST)
        FAIL(parser, "flexible versions have no end: write %d+", range.first);
    return range;
}

static void take_versions(struct parser *parser, struct range *versions, struct range *flexible)
{
    if (!take_word(parser, "versions"))
        FAIL(parser, "'versions' expected");
    *versions = take_range(parser);
    if (versions->last == VERSION_LAST)
        FAIL(parser, "the versions of a message have an end: write %d-%d", versions->first, versions->first);
    if (!take_word(parser, "flexible"))
        FAIL(parser, "'flexible' expected");
    *flexible = take_flexible(parser);
}

static struct structure *open_structure(struct parser *parser, const char *name, const char *c_name)
{
    struct structure *structure = allocate(sizeof *structure);
    structure->name = name;
    structure->c_name = c_name;
    structure->line = parser->line_number;
    structure->file = parser->file;
    structure->message = parser->message;
    parser->levels[0] = (struct level){ structure, -1 };
    parser->depth = 1;
    parser->last_field = NULL;
    return structure;
}

static struct message *open_message(struct parser *parser, const char *name, struct range versions,
                                    struct range flexible)
{
    struct message *message = allocate(sizeof *message);
    message->name = name;
    message->line = parser->line_number;
    message->file = parser->file;
    message->versions = versions;
    message->flexible = flexible;
    parser->message = message;
    message->root = open_structure(parser, name, name);
    LIST_ADD(parser->file->messages, message);
    return message;
}

static void close_all(struct parser *parser)
{
    parser->depth = 0;
    parser->message = NULL;
    parser->last_field = NULL;
}

static void parse_use(struct parser *parser)
{
    struct use *use = allocate(sizeof *use);
    use->stem = take_name(parser, "a schema file's name");
    use->line = parser->line_number;
    LIST_ADD(parser->file->uses, use);
    close_all(parser);
}

static void parse_struct(struct parser *parser)
{
    close_all(parser);
    const char *name = take_name(parser, "the struct's name");
    struct structure *structure = open_structure(parser, name, name);
    structure->shared = true;
    LIST_ADD(parser->file->shared, structure);
}

/* api 18 api_versions versions 0-4 flexible 3+ response-header 0 */
static void parse_api(struct parser *parser)
{
    close_all(parser);
    struct api *api = allocate(sizeof *api);
    api->key = take_number(parser, "API key", VERSION_LAST);
    api->name = take_name(parser, "the API's name");
    api->line = parser->line_number;
    api->file = parser->file;
    api->refused = api->unserved = RANGE_NONE;
    take_versions(parser, &api->versions, &api->flexible);
    while (peek(parser)) {
        if (take_word(parser, "refused"))
            api->refused = take_range(parser);
        else if (take_word(parser, "unserved"))
            api->unserved = take_range(parser);
        else if (take_word(parser, "response-header"))
            api->response_header_plain = take_number(parser, "response header version", 0) == 0;
        else
            expect_end(parser);
    }
    parser->api = api;
    LIST_ADD(parser->file->apis, api);
}

static void parse_side(struct parser *parser, bool request)
{
    struct api *api = parser->api;
    if (api == NULL)
        FAIL(parser, "an 'api' line must come before its sides");
    struct message **side = request ? &api->request : &api->response;
    if (*side)
        FAIL(parser, "%s has this side already", api->name);
    *side = open_message(parser, text_format("%s_%s", api->name, request ? "request" : "response"),
                         api->versions, api->flexible);
}

/* records metadata frame kraft */
static void parse_records(struct parser *parser)
{
    close_all(parser);
    if (parser->file->record_set)
        FAIL(parser, "one file holds one set of records");
    parser->file->record_set = take_name(parser, "the name of the records");
    if (!take_word(parser, "frame"))
        FAIL(parser, "'frame' expected");
    if (take_word(parser, "kraft"))
        parser->file->frame = FRAME_KRAFT;
    else if (take_word(parser, "coordinator"))
        parser->file->frame = FRAME_COORDINATOR;
    else if (take_word(parser, "raw"))
        parser->file->frame = FRAME_RAW;
    else
        FAIL(parser, "a frame is kraft, coordinator or raw");
}

/* record 2 topic versions 0-0 flexible 0+; in a coordinator's file without versions */
static void parse_record(struct parser *parser)
{
    close_all(parser);
    if (parser->file->record_set == NULL)
        FAIL(parser, "a 'records' line must come before the first record");
    struct record *record = allocate(sizeof *record);
    record->number = take_number(parser, "record type", VERSION_LAST);
    record->name = take_name(parser, "the record's name");
    record->line = parser->line_number;
    if (parser->file->frame != FRAME_COORDINATOR) {
        struct range versions, flexible;
        take_versions(parser, &versions, &flexible);
        record->value = open_message(parser, text_format("%s_record", record->name), versions, flexible);
    }
    parser->record = record;
    LIST_ADD(parser->file->records, record);
}

static void parse_part(struct parser *parser, bool key)
{
    struct record *record = parser->record;
    if (record == NULL || parser->file->frame != FRAME_COORDINATOR)
        FAIL(parser, "only records in a coordinator's frame have a key and a value");
    struct message **part = key ? &record->key : &record->value;
    if (*part)
        FAIL(parser, "%s has this part already", record->name);
    struct range versions, flexible;
    take_versions(parser, &versions, &flexible);
    *part =
        open_message(parser, text_format("%s_%s", record->name, key ? "key" : "value"), versions, flexible);
}

static const char *const type_names[] = { "bool",   "int8",    "int16", "int32",  "int64", "uint16",
                                          "uint32", "float64", "uuid",  "string", "bytes", "records" };

const char *type_name(enum type type)
{
    return type == TYPE_STRUCT ? "struct" : type_names[type];
}

static void parse_type(struct parser *parser, struct field *field)
{
    const char *word = take(parser, "the field's type");
    size_t size = strlen(word);
    if (word[0] == '[') {
        if (size < 3 || word[size - 1] != ']')
            FAIL(parser, "'%s' is no array type: [int32] or [name] is", word);
        field->array = true;
        word = text_format("%.*s", (int)size - 2, word + 1);
    }
    field->type = TYPE_STRUCT;
    for (int i = 0; i < TYPE_STRUCT; i++)
        if (strcmp(word, type_names[i]) == 0)
            field->type = (enum type)i;
    if (field->type != TYPE_STRUCT)
        return;
    for (const char *c = word; *c; c++)
        if (!islower((unsigned char)*c) && (c == word || (!isdigit((unsigned char)*c) && *c != '_')))
            FAIL(parser, "'%s' is neither a type nor a struct's name", word);
    field->struct_name = word;
}

/* max int64 | min int32 */
static void parse_limit(struct parser *parser, struct field *field, bool max)
{
    static const struct {
        const char *name;
        __int128 min, max;
    } limits[] = { { "int8", INT8_MIN, INT8_MAX },    { "int16", INT16_MIN, INT16_MAX },
                   { "int32", INT32_MIN, INT32_MAX }, { "int64", INT64_MIN, INT64_MAX },
                   { "uint16", 0, UINT16_MAX },       { "uint32", 0, UINT32_MAX } };
    const char *word = take(parser, "an integer type");
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        if (strcmp(word, limits[i].name) == 0) {
            field->default_kind = DEFAULT_INT;
            field->default_int = max ? limits[i].max : limits[i].min;
            return;
        }
    }
    FAIL(parser, "'%s' is no integer type", word);
}

static void parse_default(struct parser *parser, struct field *field)
{
    const char *word = take(parser, "the default");
    char *end;
    if (field->default_kind != DEFAULT_ABSENT)
        FAIL(parser, "%s has a default already", field->name);
    if (strcmp(word, "max") == 0 || strcmp(word, "min") == 0) {
        parse_limit(parser, field, strcmp(word, "max") == 0);
    } else if (strcmp(word, "null") == 0) {
        field->default_kind = DEFAULT_NULL;
    } else if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0) {
        field->default_kind = DEFAULT_BOOL;
        field->default_int = strcmp(word, "true") == 0;
    } else if (word[0] == '"') {
        field->default_kind = DEFAULT_STRING;
        field->default_string = word;
    } else if (strchr(word, '.') && strncmp(word, "0x", 2) != 0) {
        field->default_kind = DEFAULT_FLOAT;
        field->default_float = strtod(word, &end);
        if (*end)
            FAIL(parser, "'%s' is no number", word);
    } else {
        errno = 0;
        field->default_kind = DEFAULT_INT;
        field->default_int =
            word[0] == '-' ? (__int128)strtoll(word, &end, 0) : (__int128)strtoull(word, &end, 0);
        if (*end || errno || end == word)
            FAIL(parser, "'%s' is no default value", word);
    }
}

static void parse_options(struct parser *parser, struct field *field)
{
    if (range_is_next(parser))
        field->versions = take_range(parser);
    while (peek(parser)) {
        if (take_word(parser, "null"))
            field->nullable = range_is_next(parser) ? take_range(parser) : RANGE_ALL;
        else if (take_word(parser, "="))
            parse_default(parser, field);
        else if (take_word(parser, "tag")) {
            field->tag = take_number(parser, "tag", 1000);
            field->tagged = range_is_next(parser) ? take_range(parser) : RANGE_ALL;
        } else if (take_word(parser, "ignorable"))
            field->ignorable = true;
        else if (take_word(parser, "secret"))
            field->secret = true;
        else if (take_word(parser, "entity"))
            field->entity = take_name(parser, "the entity's kind");
        else
            expect_end(parser);
    }
}

/* Makes the struct that this line's field belongs to the innermost open one. */
static void enter_level(struct parser *parser)
{
    int indent = parser->line.indent;
    struct level *level = &parser->levels[parser->depth - 1];
    if (level->indent < 0)
        level->indent = indent;
    if (indent > level->indent) {
        struct field *parent = parser->last_field;
        if (parent->type != TYPE_STRUCT)
            FAIL(parser, "%s is no struct, yet fields stand under it", parent->name);
        if (parser->depth == DEPTH_MAX)
            FAIL(parser, "more than %d structs inside each other", DEPTH_MAX);
        struct structure *nested = allocate(sizeof *nested);
        nested->name = parent->struct_name;
        nested->line = parent->line;
        nested->file = parser->file;
        nested->message = parser->message;
        if (parser->message == NULL)
            FAIL(parser, "a shared struct holds no struct of its own: give '%s' a place at the top",
                 parent->struct_name);
        nested->c_name = text_format("%s_%s", parser->message->name, nested->name);
        for (struct structure *other = parser->message->nested; other; other = other->next)
            if (strcmp(other->name, nested->name) == 0)
                FAIL(parser, "a struct '%s' stands in line %d already", nested->name, other->line);
        LIST_ADD(parser->message->nested, nested);
        parser->levels[parser->depth++] = (struct level){ nested, indent };
        return;
    }
    while (parser->depth > 0 && parser->levels[parser->depth - 1].indent > indent)
        parser->depth--;
    if (parser->depth == 0 || parser->levels[parser->depth - 1].indent != indent)
        FAIL(parser, "this indentation matches no open struct");
}

static void parse_field(struct parser *parser)
{
    if (parser->depth == 0)
        FAIL(parser, "a field stands under a request, a response, a record or a struct");
    enter_level(parser);
    struct field *field = allocate(sizeof *field);
    field->name = take_name(parser, "the field's name");
    field->line = parser->line_number;
    field->versions = RANGE_ALL;
    field->nullable = RANGE_NONE;
    field->tagged = RANGE_NONE;
    field->tag = -1;
    parse_type(parser, field);
    parse_options(parser, field);
    struct structure *structure = parser->levels[parser->depth - 1].structure;
    for (struct field *other = structure->fields; other; other = other->next)
        if (strcmp(other->name, field->name) == 0)
            FAIL(parser, "a field '%s' stands in line %d already", field->name, other->line);
    LIST_ADD(structure->fields, field);
    parser->last_field = field;
}

/* Splits a line at blanks; a quoted text is one word, # begins a comment. */
static void split(struct parser *parser, char *text)
{
    struct line *line = &parser->line;
    *line = (struct line){ 0 };
    char *c = text;
    while (*c == ' ')
        c++;
    line->indent = (int)(c - text);
    while (*c && *c != '#') {
        if (*c == '\t')
            FAIL(parser, "a tab: indent by spaces");
        if (isspace((unsigned char)*c)) {
            c++;
            continue;
        }
        char *begin = c;
        if (*c == '"') {
            for (c++; *c && *c != '"'; c++)
                if (*c == '\\' && c[1])
                    c++;
            if (*c++ != '"')
                FAIL(parser, "a text that does not end");
        } else {
            while (*c && !isspace((unsigned char)*c) && *c != '#')
                c++;
        }
        if (line->count == WORDS_MAX)
            FAIL(parser, "more than %d words in a line", WORDS_MAX);
        line->words[line->count++] = text_format("%.*s", (int)(c - begin), begin);
    }
}

static void parse_line(struct parser *parser, char *text)
{
    split(parser, text);
    if (parser->line.count == 0)
        return;
    if (parser->line.indent > 0)
        parse_field(parser);
    else if (take_word(parser, "use"))
        parse_use(parser);
    else if (take_word(parser, "struct"))
        parse_struct(parser);
    else if (take_word(parser, "api"))
        parse_api(parser);
    else if (take_word(parser, "request"))
        parse_side(parser, true);
    else if (take_word(parser, "response"))
        parse_side(parser, false);
    else if (take_word(parser, "records"))
        parse_records(parser);
    else if (take_word(parser, "record"))
        parse_record(parser);
    else if (take_word(parser, "key"))
        parse_part(parser, true);
    else if (take_word(parser, "value"))
        parse_part(parser, false);
    expect_end(parser);
}

static const char *stem_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    const char *dot = strchr(base, '.');
    return text_format("%.*s", dot ? (int)(dot - base) : (int)strlen(base), base);
}

struct file *parse_file(const char *path)
{
    FILE *in = fopen(path, "r");
    if (in == NULL)
        fail(path, 0, "%s", strerror(errno));
    struct parser parser = { .path = path, .file = allocate(sizeof *parser.file) };
    parser.file->path = path;
    parser.file->stem = stem_of(path);
    char *text = NULL;
    size_t capacity = 0;
    while (getline(&text, &capacity, in) >= 0) {
        parser.line_number++;
        parse_line(&parser, text);
    }
    free(text);
    fclose(in);
    return parser.file;
}
