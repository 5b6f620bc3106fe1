/* Patterns that topics are subscribed by: RE2's syntax, matched in linear time against the whole name. */
#ifndef RUNNEL_BROKER_GROUP_TOPIC_REGEX_H
#define RUNNEL_BROKER_GROUP_TOPIC_REGEX_H

#include "protocol/base/slice.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TOPIC_REGEX_ERROR_SIZE = 128 };

struct topic_regex;

/* NULL: it is none, or too large; why (may be NULL) says so in RE2's words. */
struct topic_regex *topic_regex_open(slice pattern, char why[TOPIC_REGEX_ERROR_SIZE]);
void topic_regex_close(struct topic_regex *regex);
bool topic_regex_matches(const struct topic_regex *regex, slice name);
bool topic_regex_check(slice pattern, char why[TOPIC_REGEX_ERROR_SIZE]);

#ifdef __cplusplus
}
#endif

#endif
