/* What the guard counts: clients that do the same again and again, always waiting for all answers. */
#ifndef RUNNEL_TESTS_GUARD_SCENARIOS_H
#define RUNNEL_TESTS_GUARD_SCENARIOS_H

#include "protocol/base/uuid.h"
#include "tests/guard/meter.h"

/* Two clients and what they send. */
struct stage {
    struct meter *meter;
    struct wire_client first, second;
    struct arena arena; /* for the whole scenario */
    struct arena round; /* for one round */
    slice volley;       /* frames that are sent in one call */
    int volley_count;
    char topic[64];
    int64_t producer_id;
    int32_t sequence;
    int32_t session_id, session_epoch;
    int32_t turn;
    char member[160];
    int32_t generation;
};

enum { SCENARIOS_MAX = 32 };

struct scenario {
    const char *name;
    const char *what;
    int rounds;   /* this often, and then three times as often */
    int requests; /* in a round: what the counts are divided by */
    /* What may differ from the recorded counts: instructions by so many per cent, calls by so many a request.
     * More where the kernel cuts the bytes as it likes. */
    double instructions_tolerance, calls_tolerance;
    void (*set_up)(struct stage *stage);
    void (*round)(struct stage *stage);
};

extern const struct scenario scenarios[];
extern const int scenario_count;

/* Opens the clients, with what the scenario needs. */
void stage_open(struct stage *stage, struct meter *meter, const struct scenario *scenario);
void stage_close(struct stage *stage);

#endif
