/* runnel-gen --out DIR FILE.api...: turns schemas into the C code of the codec. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/gen/model.h"

void fail(const char *path, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: ", path, line);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

void *allocate(size_t size)
{
    void *memory = calloc(1, size);
    if (memory == NULL)
        fail("runnel-gen", 0, "out of memory");
    return memory;
}

const char *text_format(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        fail("runnel-gen", 0, "out of memory");
    va_end(args);
    return text;
}

bool text_equal(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static FILE *create(const char *directory, const char *stem, const char *suffix)
{
    const char *path = text_format("%s/%s.%s", directory, stem, suffix);
    FILE *out = fopen(path, "w");
    if (out == NULL)
        fail(path, 0, "%s", strerror(errno));
    return out;
}

static void finish(FILE *out, const char *stem)
{
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed)
        fail(stem, 0, "writing failed: %s", strerror(errno));
}

static void generate(const char *directory, const struct file *files)
{
    for (const struct file *file = files; file; file = file->next) {
        FILE *out = create(directory, file->stem, "h");
        emit_header(out, file);
        finish(out, file->stem);
        out = create(directory, file->stem, "c");
        emit_source(out, file);
        finish(out, file->stem);
    }
    FILE *out = create(directory, "apis", "h");
    emit_apis_header(out, files);
    finish(out, "apis.h");
    out = create(directory, "apis", "c");
    emit_apis_source(out, files);
    finish(out, "apis.c");
}

int main(int argc, char **argv)
{
    if (argc < 4 || strcmp(argv[1], "--out") != 0) {
        fprintf(stderr, "usage: runnel-gen --out DIR FILE.api...\n");
        return 2;
    }
    struct file *files = NULL;
    for (int i = 3; i < argc; i++) {
        struct file *file = parse_file(argv[i]);
        for (struct file *other = files; other; other = other->next)
            if (strcmp(other->stem, file->stem) == 0)
                fail(file->path, 0, "another file has this name: %s", other->path);
        LIST_ADD(files, file);
    }
    verify_files(files);
    generate(argv[2], files);
    return 0;
}
