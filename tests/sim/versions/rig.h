/* What the rows of the versions matrix share: a broker, a client whose calls are checked to the byte, and the
 * memory of which fields were ever filled. */
#ifndef RUNNEL_TESTS_SIM_VERSIONS_RIG_H
#define RUNNEL_TESTS_SIM_VERSIONS_RIG_H

#include <check.h>

#include "broker/request.h"
#include "protocol/errors.h"
#include "tests/support/one_partition.h"
#include "tests/support/sim.h"

/* Which API and version is being looked at; every failure names it. */
struct subject {
    int16_t key;
    int16_t version;
    const char *name;
};

extern struct subject subject;
extern struct sim sim;
extern struct sim_client client;
extern struct arena arena; /* emptied by rig_close */

/* Fields that stay at their default in these versions, "topics.partitions.records"; the children of such a
 * field do as well. The list of a row ends with a null path. */
struct exemption {
    const char *path;
    int16_t first, last;
    const char *why;
};

enum { NEVER_LAST = INT16_MAX };

struct check_row {
    int16_t key;
    void (*check)(int16_t version);
    const struct exemption *unasked; /* of the request */
    const struct exemption *untold;  /* of the response */
};

/* A broker with broker.rack=r1 and num.partitions=3, a connected client. settings: further lines. */
void rig_open(const char *settings);
void rig_close(void);
/* A clean stop and a start on the same disk; the client is connected anew. */
void rig_restart(void);

/* Sends a request of the subject and receives its answer, which must be exactly what the codec makes of it:
 * nothing too much, nothing left out, the header of its version. Both add to the fields that were seen. */
void ask(const void *request, void *response);
/* The same for another API or version, which is not looked at. */
void ask_other(int16_t key, int16_t version, const void *request, void *response);
/* Bytes of the last answer, without the length. */
slice last_frame(void);

/* NULL when the frame is what the codec makes of the decoded answer; else how it differs, borrowed until the
 * next call. */
const char *frame_complaint(const struct api_schema *schema, int16_t version, const void *response,
                            slice frame);

/* Forgets which fields were seen, for the next subject. */
void seen_reset(void);
/* Every field that the version has must have been seen with another value than its default, but for the
 * exemptions, which must not. NULL, or what is wrong; borrowed until the next call. */
const char *seen_complaint(const struct check_row *row);

/* Creates it by Metadata v12, with num.partitions partitions; its id. */
uuid make_topic(const char *name);
/* Does Metadata know the topic, with how many partitions? -1: no. */
int32_t partition_count_of(const char *name);
/* Appends records to a partition by Produce v9; the offset of the first. */
int64_t append_records(const char *topic, int32_t partition, int count);

/* While set, the authoriser denies this operation on the resource of this name. NULL: allows all. */
void deny(enum acl_operation op, const char *name);

void expect_numbers(int line, const char *what, long long got, long long wanted);
void expect_texts(int line, const char *what, slice got, const char *wanted);

/* The subject's version is named when it fails. */
#define expect(got, wanted)      expect_numbers(__LINE__, #got, (long long)(got), (long long)(wanted))
#define expect_that(condition)   expect_numbers(__LINE__, #condition, (condition) ? 1 : 0, 1)
#define expect_text(got, wanted) expect_texts(__LINE__, #got, got, wanted)

/* One check per API, in the file of its kind. */
extern const struct check_row record_rows[], topic_rows[], group_rows[], other_rows[];
extern const size_t record_row_count, topic_row_count, group_row_count, other_row_count;

#endif
