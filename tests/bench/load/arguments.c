/* Reads option tables; ends the program with a sentence. */
#include "tests/bench/load/arguments.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/compress.h"

_Noreturn void load_fail(const char *format, ...)
{
    va_list arguments;
    char text[1024];
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    dprintf(STDERR_FILENO, "load: %s\n", text);
    _exit(1); /* other threads may be anywhere */
}

static _Noreturn void wrong(const char *what, const char *word)
{
    fprintf(stderr, "load: %s: %s\n", what, word);
    exit(2);
}

static uint64_t read_size(const char *word)
{
    char *rest;
    double number = strtod(word, &rest);
    int shift = 0;
    if (*rest != '\0') {
        static const char units[] = "kmgt";
        const char *unit = strchr(units, *rest | 0x20);
        if (!unit || (rest[1] != '\0' && strcmp(rest + 1, "iB") != 0))
            wrong("not a size", word);
        shift = 10 * (int)(unit - units + 1);
    }
    if (rest == word || number < 0)
        wrong("not a size", word);
    return (uint64_t)(number * (double)((uint64_t)1 << shift));
}

static double read_number(const char *word)
{
    char *rest;
    double number = strtod(word, &rest);
    if (rest == word || *rest != '\0')
        wrong("not a number", word);
    return number;
}

static enum codec read_codec(const char *word)
{
    for (int i = 0; i < CODEC_COUNT; i++)
        if (strcmp(codec_name((enum codec)i), word) == 0)
            return (enum codec)i;
    wrong("no codec", word);
}

static void add_setting(struct settings *settings, const char *word)
{
    if (!strchr(word, '='))
        wrong("not KEY=VALUE", word);
    if (settings->count == SETTINGS_MAX)
        wrong("too many settings", word);
    settings->items[settings->count++] = word;
}

static void read_value(const struct argument *argument, const char *word, void *field)
{
    switch (argument->type) {
    case ARGUMENT_TEXT:
        *(const char **)field = word;
        return;
    case ARGUMENT_INT:
        *(int *)field = (int)read_number(word);
        return;
    case ARGUMENT_SIZE:
        *(uint64_t *)field = read_size(word);
        return;
    case ARGUMENT_NUMBER:
        *(double *)field = read_number(word);
        return;
    case ARGUMENT_FLAG:
        *(bool *)field = true;
        return;
    case ARGUMENT_CODEC:
        *(enum codec *)field = read_codec(word);
        return;
    case ARGUMENT_SETTINGS:
        add_setting(field, word);
        return;
    }
}

void arguments_read(const struct argument *table, int count, char **words, void *out)
{
    for (int i = 0; i < count; i++) {
        const struct argument *argument = table;
        while (argument->name && strcmp(argument->name, words[i]) != 0)
            argument++;
        if (!argument->name)
            wrong("unknown option", words[i]);
        bool has_value = argument->type != ARGUMENT_FLAG;
        if (has_value && i + 1 == count)
            wrong("a value is missing", words[i]);
        read_value(argument, has_value ? words[++i] : NULL, (char *)out + argument->position);
    }
}
