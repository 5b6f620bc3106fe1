/* Inside the guest: what its parts share. */
#ifndef RUNNEL_TESTS_POWERCUT_GUEST_H
#define RUNNEL_TESTS_POWERCUT_GUEST_H

#include "tests/powercut/cut_ledger.h"
#include "tests/support/wire_client.h"

enum { GUEST_TIMEOUT_MS = 60000 };

struct guest {
    char address[64]; /* of the broker */
    uint64_t seed;
    int boot;
    struct cut_ledger ledger;
};

struct guest_verdict {
    struct ledger_verdict records;
    int64_t other; /* keys, commits, topics and producer ids that are not as they must be */
};

/* One line for the host, at once; any thread. */
void guest_report(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Reports an error and ends the program; while the broker is being stopped, the end of a thread and no error.
 */
_Noreturn void guest_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

void guest_connect(const struct guest *guest, struct wire_client *client);
/* Waits a moment before something is asked for again; fails when that goes on for too long. */
void guest_again(int *attempts, const char *what, int error_code);

/* Makes the topics, where they are not there yet. */
void guest_make_topics(const struct guest *guest);
void guest_topic_name(char out[32], int number);
/* Compares everything with the ledger. */
struct guest_verdict guest_judge(struct guest *guest);
/* Begins to write, in threads of its own. */
void guest_write(struct guest *guest);

/* The ids of a group's coordinator: asks until it is there. */
void guest_find_coordinator(struct wire_client *client);

#define GUEST_GROUP "cut-group"

#endif
