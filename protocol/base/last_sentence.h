/* What the operator is told of a start that failed: one sentence, owned by nobody who gets it. */
#ifndef RUNNEL_PROTOCOL_BASE_LAST_SENTENCE_H
#define RUNNEL_PROTOCOL_BASE_LAST_SENTENCE_H

/* Takes malloc'ed text; it is good until the next call in this process, and freed then. Null stays null. */
const char *last_sentence(char *text);

#endif
