/* Random messages of any schema, for tests that walk all of them. */
#ifndef RUNNEL_TESTS_SUPPORT_RANDOM_MESSAGE_H
#define RUNNEL_TESTS_SUPPORT_RANDOM_MESSAGE_H

#include "protocol/api_schema.h"
#include "protocol/base/random.h"

/* Fills out with values that the version can carry; fields outside of it keep their defaults. Memory comes
 * from the arena. */
void random_message(struct random *random, struct arena *arena, const struct struct_schema *schema,
                    int16_t version, void *out);

/* Puts a value of its own choice at `at`, which has the type of the field (of one element, for an array), or
 * says false: then it is random. Memory comes from the arena. */
typedef bool message_chooser(struct random *random, struct arena *arena, const struct field_schema *field,
                             void *at);

/* The same with a choice of values: names that exist, numbers that mean something. */
void chosen_message(struct random *random, struct arena *arena, const struct struct_schema *schema,
                    int16_t version, message_chooser *choose, void *out);

/* The bytes of a chain in one piece of the arena. */
slice chain_bytes(const struct chain *chain, struct arena *arena);

#endif
