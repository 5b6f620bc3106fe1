/* Writes a schema file's header: structs, and what can be done with them. */
#include <string.h>

#include "protocol/gen/model.h"

static const char *range_text(struct range range)
{
    if (range.last == VERSION_LAST)
        return text_format("%d+", range.first);
    if (range.first == range.last)
        return text_format("%d", range.first);
    return text_format("%d-%d", range.first, range.last);
}

static const char *field_comment(const struct field *field)
{
    const char *text = "";
    if (field->versions.first > 0 || field->versions.last < VERSION_LAST)
        text = text_format("%s", range_text(field->versions));
    if (!range_empty(field->nullable)) {
        bool always = field->nullable.first == 0 && field->nullable.last == VERSION_LAST;
        text = text_format("%s%snullable%s%s", text, *text ? ", " : "", always ? "" : " ",
                           always ? "" : range_text(field->nullable));
    }
    if (field->tag >= 0)
        text = text_format("%s%stag %d", text, *text ? ", " : "", field->tag);
    return *text ? text_format(" /* %s */", text) : "";
}

static void emit_struct(FILE *out, const struct structure *structure)
{
    fprintf(out, "\nstruct %s {\n", structure->c_name);
    for (const struct field *field = structure->fields; field; field = field->next) {
        bool pointer = field->array || (field->type == TYPE_STRUCT && !range_empty(field->nullable));
        fprintf(out, "    %s %s%s;%s\n", c_type(field), pointer ? "*" : "", field->name,
                field_comment(field));
        if (field->array)
            fprintf(out, "    int32_t %s_count;\n", field->name);
    }
    if (structure->fields == NULL)
        fprintf(out, "    uint8_t unused; /* C knows no empty struct */\n");
    fprintf(out, "};\n\nvoid %s_init(struct %s *out);\nextern const struct struct_schema %s_fields;\n",
            structure->c_name, structure->c_name, structure->c_name);
}

static void emit_shared(FILE *out, struct structure *structure)
{
    if (structure->laid_out)
        return;
    structure->laid_out = true;
    for (struct field *field = structure->fields; field; field = field->next)
        if (field->of && field->of->file == structure->file)
            emit_shared(out, field->of);
    emit_struct(out, structure);
}

static void emit_message(FILE *out, const struct message *message)
{
    for (const struct instance *instance = message->instances; instance; instance = instance->next)
        if (!instance->of->shared)
            emit_struct(out, instance->of);
    const char *name = message->name;
    fprintf(out, "\n/* Versions %d to %d. */\n", message->versions.first, message->versions.last);
    fprintf(out, "bool %s_decode(struct reader *reader, int16_t version, struct %s *out);\n", name, name);
    fprintf(out, "bool %s_encode(struct writer *writer, int16_t version, const struct %s *in);\n", name,
            name);
    fprintf(out, "bool %s_size(int16_t version, const struct %s *in, size_t *size);\n", name, name);
    fprintf(out, "void %s_print(struct printer *printer, int16_t version, const struct %s *in);\n", name,
            name);
}

static void emit_record_types(FILE *out, const struct file *file)
{
    if (file->record_set == NULL)
        return;
    fprintf(out, "\nenum %s_record_type {\n", file->record_set);
    for (const struct record *record = file->records; record; record = record->next)
        fprintf(out, "    %s_RECORD_%s = %d,\n", upper(file->record_set), upper(record->name),
                record->number);
    fprintf(out, "};\n");
    const char *set = file->record_set;
    if (file->frame == FRAME_KRAFT) {
        fprintf(out, "\n/* Type and version in front of a record; an unknown frame version is "
                     "CODEC_UNSUPPORTED. */\n");
        fprintf(out,
                "bool %s_record_frame_decode(struct reader *reader, uint32_t *type, uint32_t *version);\n",
                set);
        fprintf(out, "bool %s_record_frame_encode(struct writer *writer, uint32_t type, uint32_t version);\n",
                set);
    }
    if (file->frame == FRAME_COORDINATOR) {
        fprintf(out, "\n/* The type in front of a key, the version in front of a value. */\n");
        fprintf(out, "bool %s_record_key_frame_decode(struct reader *reader, int16_t *type);\n", set);
        fprintf(out, "bool %s_record_key_frame_encode(struct writer *writer, int16_t type);\n", set);
        fprintf(out, "bool %s_record_value_frame_decode(struct reader *reader, int16_t *version);\n", set);
        fprintf(out, "bool %s_record_value_frame_encode(struct writer *writer, int16_t version);\n", set);
    }
}

void emit_header(FILE *out, const struct file *file)
{
    fprintf(out, "/* Generated from %s.api by runnel-gen. */\n", file->stem);
    fprintf(out, "#ifndef RUNNEL_CODEC_%s_H\n#define RUNNEL_CODEC_%s_H\n\n", upper(file->stem),
            upper(file->stem));
    fprintf(out, "#include \"protocol/api_schema.h\"\n");
    for (const struct use *use = file->uses; use; use = use->next)
        fprintf(out, "#include \"%s.h\"\n", use->stem);
    for (struct structure *shared = file->shared; shared; shared = shared->next)
        emit_shared(out, shared);
    emit_record_types(out, file);
    for (const struct message *message = file->messages; message; message = message->next)
        emit_message(out, message);
    fprintf(out, "\n#endif\n");
}
