/* Of the ways to flush a group of files, the one that was cheapest lately. */
#ifndef RUNNEL_STORAGE_FLUSH_CHOICE_H
#define RUNNEL_STORAGE_FLUSH_CHOICE_H

enum flush_way {
    FLUSH_SYNCFS, /* all of the file system: one commit of its journal, but others' writes too */
    FLUSH_POOL,   /* one fdatasync for each file, on several threads */
    FLUSH_WAYS
};

/* Of groups of about the same count of files. All zero: nothing is known yet. */
struct flush_choice {
    double ns[FLUSH_WAYS]; /* what a group took: moving averages; 0: never measured */
    double spent_ns;       /* by the preferred way since the other one was tried */
};

/* The preferred way, and now and then the other one: so rarely that trying costs little beside all flushes,
 * however bad the other way is. */
enum flush_way flush_choice_take(const struct flush_choice *choice);
/* How long it took. */
void flush_choice_note(struct flush_choice *choice, enum flush_way way, double ns);

#endif
