/* Which names of a list stand in it more than once. */
#ifndef RUNNEL_BROKER_HANDLERS_REPEATED_NAMES_H
#define RUNNEL_BROKER_HANDLERS_REPEATED_NAMES_H

#include "protocol/base/arena.h"

enum name_mark {
    NAME_ONCE,
    NAME_DUPLICATE, /* the first of several */
    NAME_REPEATED,  /* each further one */
};

/* A mark for each name, in the arena; NULL: no memory. */
const enum name_mark *repeated_names(struct arena *arena, const slice *names, size_t count);

#endif
