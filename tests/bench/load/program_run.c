/* Runs a program behind a pipe; reads JSON as far as these tests need it. */
#include "tests/bench/load/program_run.h"

#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/base/check.h"

/* --- the program --------------------------------------------------------------------------------- */

void program_start(struct program_run *run, const char *format, ...)
{
    char command[4096] = "exec ";
    int ends[2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command + 5, sizeof command - 5, format, arguments);
    va_end(arguments);
    check(pipe(ends) == 0);
    run->text = check_memory(calloc(1, 1));
    run->pid = fork();
    check(run->pid >= 0);
    if (run->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    run->output = ends[0];
}

static bool read_more(struct program_run *run)
{
    char piece[4096];
    ssize_t got = read(run->output, piece, sizeof piece);
    if (got <= 0)
        return false;
    size_t size = strlen(run->text);
    run->text = check_memory(realloc(run->text, size + (size_t)got + 1));
    memcpy(run->text + size, piece, (size_t)got);
    run->text[size + (size_t)got] = '\0';
    return true;
}

void program_finish(struct program_run *run)
{
    int status;
    while (read_more(run))
        continue;
    check(waitpid(run->pid, &status, 0) == run->pid);
    run->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

const char *program_line(struct program_run *run)
{
    while (!strchr(run->text, '\n') && read_more(run))
        continue;
    char *end = strchr(run->text, '\n');
    if (end)
        *end = '\0';
    return run->text;
}

void program_destroy(struct program_run *run)
{
    close(run->output);
    free(run->text);
}

/* --- JSON ---------------------------------------------------------------------------------------- */

static const char *skip_value(const char *p);

static const char *skip_string(const char *p)
{
    if (*p != '"')
        return NULL;
    for (p++; *p && *p != '"'; p++)
        if (*p == '\\' && !*++p)
            return NULL;
    return *p ? p + 1 : NULL;
}

/* Members or items up to the closing character; p is behind the opening one. */
static const char *skip_list(const char *p, char close_with, bool has_names)
{
    if (*p == close_with)
        return p + 1;
    for (;;) {
        if (has_names) {
            p = skip_string(p);
            if (!p || *p++ != ':')
                return NULL;
        }
        p = skip_value(p);
        if (!p)
            return NULL;
        if (*p == close_with)
            return p + 1;
        if (*p++ != ',')
            return NULL;
    }
}

static const char *skip_value(const char *p)
{
    char *end;
    if (*p == '{')
        return skip_list(p + 1, '}', true);
    if (*p == '[')
        return skip_list(p + 1, ']', false);
    if (*p == '"')
        return skip_string(p);
    if (*p != '-' && (*p < '0' || *p > '9')) /* nan and inf are no JSON */
        return NULL;
    strtod(p, &end);
    return end;
}

bool json_is_object(const char *text)
{
    const char *end = *text == '{' ? skip_value(text) : NULL;
    return end && strcmp(end, "\n") == 0;
}

double json_number(const char *text, const char *path)
{
    const char *p = text;
    for (;;) {
        size_t size = strcspn(path, ".");
        if (*p != '{')
            return NAN;
        for (p++;;) {
            const char *name = p;
            p = skip_string(p);
            if (!p || *p++ != ':')
                return NAN;
            if (strncmp(name + 1, path, size) == 0 && name[1 + size] == '"')
                break;
            p = skip_value(p);
            if (!p || *p++ != ',')
                return NAN;
        }
        if (path[size] == '\0')
            return *p == '-' || (*p >= '0' && *p <= '9') ? strtod(p, NULL) : NAN;
        path += size + 1;
    }
}
