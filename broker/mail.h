/* What other threads post to a loop; delivered there once, in order of posting per thread. */
#ifndef RUNNEL_BROKER_MAIL_H
#define RUNNEL_BROKER_MAIL_H

struct loop;

/* Embedded in what it carries; the receiver owns it from deliver() on. */
struct loop_mail {
    void (*deliver)(struct loop_mail *mail, struct loop *loop);
    struct loop_mail *next;
};

#endif
