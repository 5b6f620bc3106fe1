/* The clients of the model test: what they believe, ask and hear; each answer is held against the model's. */
#ifndef RUNNEL_TESTS_SIM_GROUP_MODEL_PLAYER_H
#define RUNNEL_TESTS_SIM_GROUP_MODEL_PLAYER_H

#include "tests/sim/group_model/model.h"
#include "tests/support/sim.h"

/* A client: what it believes. */
struct slot {
    struct sim_client client;
    int16_t version;
    char instance[TEXT_MAX];
    char id[TEXT_MAX];
    char metadata[TEXT_MAX];
    int protocols[PROTOCOLS_MAX];
    int protocol_count;
    int32_t session_ms, rebalance_ms;
    int32_t generation;
    bool is_nameless;  /* joins without an id */
    int16_t waits_for; /* an API key; -1: nothing */
    bool must_join, must_sync;
    char roster[MEMBERS_MAX][TEXT_MAX]; /* when it leads */
    int roster_count;
};

extern struct sim sim;
extern struct random chance;
extern struct slot slots[SLOTS];
extern struct model model;
extern char group[TEXT_MAX]; /* its name */
extern int group_number;
extern uint64_t step_count, answer_count;
extern char failure[512]; /* "": the model and the broker agree */
extern bool is_traced;

void play_begin(void);
/* The first difference is kept. */
void differ(const char *what, int slot, long long got, long long expected);
void expect(bool holds, const char *what, int slot);
void trace(const char *what, int slot, long long a, const char *b);

/* True in so many cases of 100. */
bool draw(unsigned percent);
int64_t now_ms(void);
void note_text(char out[TEXT_MAX], slice text);

/* The slot brings something else; is nobody yet; is another client. */
void change_metadata(int i);
void forget(int i);
void begin_slot(int i);
/* Once per disk. */
void make_topic(void);
/* The slot's connection goes, and another one comes. */
void disconnect(int i);
void begin_group(int64_t delay_ms, int size_max, enum broken_rule broken);

/* Sent; the answer comes by receive_answers(). */
void send_join(int i, const char *id, const char *instance);
void send_sync(int i, int32_t generation);
/* The slot alone leaves; its answer is not waited for. */
void send_leave(int i);
/* Sent, answered, and held against the model. */
void call_heartbeat(int i, int32_t generation);
void call_commit(int i);
void call_leave(int i);
/* What the broker calls a member, once it has told. */
void learn_id(int at, slice id, int slot);
/* Whoever is answered, and nobody else. */
void receive_answers(void);

#endif
