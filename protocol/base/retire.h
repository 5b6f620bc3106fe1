/* Reclamation by quiescent states: readers take no lock, what was swapped out is freed late. */
#ifndef RUNNEL_PROTOCOL_BASE_RETIRE_H
#define RUNNEL_PROTOCOL_BASE_RETIRE_H

#include <stdbool.h>

/* Each loop and worker joins and announces a quiescent state at the end of its turn or job: from
 * then on it holds no pointer that it read before. A sleeping member counts as quiescent for ever.
 * An object handed to retire() is freed once every member has passed such a state (DESIGN 4). */
struct retire;

struct retire *retire_create(void);
/* Frees all that waits; no member may be left. */
void retire_destroy(struct retire *retire);

/* A member's id; at most 256 at a time. The member starts awake. */
unsigned retire_join(struct retire *retire);
void retire_leave(struct retire *retire, unsigned member);

/* Awake: this turn is over, no borrowed pointer is held. Frees what has become free. */
void retire_quiescent(struct retire *retire, unsigned member);
/* Around a blocking wait (epoll, condition variable): asleep holds nothing. */
void retire_sleep(struct retire *retire, unsigned member);
void retire_wake(struct retire *retire, unsigned member);

/* Takes object; free_fn is called on whichever member's thread finds that it may be. Any thread,
 * joined or not. The object must be unreachable for members that begin a turn after this call. */
void retire(struct retire *retire, void *object, void (*free_fn)(void *object));

#endif
