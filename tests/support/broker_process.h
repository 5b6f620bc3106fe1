/* The broker as a child process: started on a free port, stopped, killed, and asked how it ended. */
#ifndef RUNNEL_TESTS_SUPPORT_BROKER_PROCESS_H
#define RUNNEL_TESTS_SUPPORT_BROKER_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What a child that did not end by itself within its time counts as. */
enum { BROKER_HUNG = -1 };

struct broker_process;

/* Starts the binary that $RUNNEL_BINARY names, else `binary`, on 127.0.0.1 and a free port; does not wait.
 *
 * data_dir   a directory that outlives the child; its standard error is appended to DATA_DIR.stderr.
 * arguments  further arguments, ended by NULL; NULL for none. Where the first is --listen, its address is the one.
 *            Borrowed until return.
 * Returned owned: broker_process_stop or broker_process_kill ends it. It dies with the thread that
 * started it, and a program that exits with children left kills them and prints what they said. */
struct broker_process *broker_process_spawn(const char *binary, const char *data_dir,
                                            const char *const arguments[]);

/* Waits for the ready signal, for at most timeout_ms; false when the child ended or the time is over. */
bool broker_process_wait_ready(struct broker_process *broker, int timeout_ms);

/* Both; aborts the test, after printing what the child said, unless it serves within 30 s. */
struct broker_process *broker_process_start(const char *binary, const char *data_dir,
                                            const char *const arguments[]);

/* "127.0.0.1:PORT", once it was ready; borrowed. */
const char *broker_process_address(const struct broker_process *broker);
pid_t broker_process_pid(const struct broker_process *broker);

/* Waits for the child to end by itself, for at most timeout_ms >= 0; true when it has ended. */
bool broker_process_ended(const struct broker_process *broker, int timeout_ms);

/* Asks it to stop by SIGTERM and frees the handle. Returns its exit status (0 after a clean stop),
 * 128 + N when signal N ended it, or BROKER_HUNG when it had to be killed after 30 s. */
int broker_process_stop(struct broker_process *broker);

/* Kills it with SIGKILL, waits until it is gone, frees the handle. Returns its exit status or
 * 128 + N as above, so 137, unless it had ended before. */
int broker_process_kill(struct broker_process *broker);

#endif
