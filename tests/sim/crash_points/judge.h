/* Judges what the broker serves after the power failed at some moment of a story. */
#ifndef RUNNEL_TESTS_SIM_CRASH_POINTS_JUDGE_H
#define RUNNEL_TESTS_SIM_CRASH_POINTS_JUDGE_H

#include "tests/sim/crash_points/story.h"

/* Counts; the first fault is told in words. */
struct verdict {
    unsigned lost;    /* promised and not there */
    unsigned changed; /* there, and not what was sent */
    unsigned back;    /* deleted, and there again */
    unsigned broken;  /* any other law */
    char first[300];
};

unsigned verdict_faults(const struct verdict *verdict);

/* What a start after one cut showed to clients, which another cut may not take back. */
struct shown {
    int64_t high_watermarks[LIVES_MAX][LIFE_PARTITIONS_MAX];
};

/* sim serves what a cut at this moment of the story left. shown: of an earlier start, or NULL. */
void judge_reads(const struct story *story, struct sim *sim, uint64_t at, const struct shown *shown,
                 struct verdict *verdict);
/* The broker goes on as if nothing had happened: sequences, producer ids, offsets, topics. Writes. */
void judge_goes_on(const struct story *story, struct sim *sim, uint64_t at, struct verdict *verdict);
void judge_look(const struct story *story, struct sim *sim, struct shown *shown);

#endif
