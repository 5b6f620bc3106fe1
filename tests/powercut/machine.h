/* A machine whose power can be cut: User-mode Linux, a kernel as a process of ours. */
#ifndef RUNNEL_TESTS_POWERCUT_MACHINE_H
#define RUNNEL_TESTS_POWERCUT_MACHINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/powercut/cut_report.h"

struct machine_options {
    const char *kernel;    /* program */
    const char *init;      /* of the host's tree, which the guest has as its root, read-only */
    const char *disk;      /* file: /dev/ubda */
    const char *console;   /* file: what kernel and programs say is appended */
    const char *directory; /* for the kernel's own files */
    const char *memory;    /* a directory, best a tmpfs: the guest's memory is a file there, without a name */
    const char *const *parameters; /* NAME=VALUE for the first process's environment, ended by NULL */
};

struct machine {
    pid_t pid; /* and process group; 0: it does not run */
    int line_fd;
    char buffer[8192]; /* what came and is not yet a whole line */
    size_t size;
};

enum machine_news {
    MACHINE_LINE,
    MACHINE_LATE,  /* nothing until then */
    MACHINE_ENDED, /* by itself */
};

/* Before the first one: processes of machines become ours when their parent ends, so that all of them are
 * waited for; signals that end us end the machine, too. */
void machine_prepare(void);
/* A signal told us to stop: the machine is off already. */
bool machine_was_stopped(void);

void machine_start(struct machine *machine, const struct machine_options *options);
/* The next line of the guest that ends as lines must, without that end; until_ms on the monotonic clock. */
enum machine_news machine_listen(struct machine *machine, int64_t until_ms, char line[CUT_LINE_SIZE]);
/* SIGKILL for all of its processes at once: what the guest's kernel had not handed to its disk is gone. Lines
 * that are there already can still be listened to, until MACHINE_ENDED. */
void machine_cut(struct machine *machine);
void machine_close(struct machine *machine);

#endif
