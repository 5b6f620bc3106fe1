/* Turns the SIGBUS of a mapped page that the device cannot deliver into an answer. */
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>

#include "protocol/base/check.h"
#include "storage/file.h"

static _Thread_local sigjmp_buf *volatile guard; /* set while this thread runs guarded code */

static void on_sigbus(int number, siginfo_t *info, void *context)
{
    (void)context;
    /* Codes above 0 are the kernel's: this very instruction faulted. A SIGBUS that somebody sent
     * with kill(2) says nothing about a mapping. */
    if (guard && info->si_code > 0)
        siglongjmp(*guard, 1);
    struct sigaction fall_back = { .sa_handler = SIG_DFL };
    sigaction(number, &fall_back, NULL);
    /* A fault comes again when the handler returns, now fatally and with the right core; a sent
     * signal has to be sent again. */
    if (info->si_code <= 0)
        raise(number);
}

void file_guard_install(void)
{
    /* NODEFER: the jump out of the handler then needs no signal mask to be saved and restored. */
    struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER };
    check(sigaction(SIGBUS, &action, NULL) == 0);
    /* A file size limit is an error code (EFBIG) to us, not the end of the process. */
    struct sigaction ignore = { .sa_handler = SIG_IGN };
    check(sigaction(SIGXFSZ, &ignore, NULL) == 0);
}

bool file_guarded(void (*fn)(void *context), void *context)
{
    sigjmp_buf here;

    check(!guard);
    if (sigsetjmp(here, 0) != 0) {
        guard = NULL;
        return false;
    }
    guard = &here;
    fn(context);
    guard = NULL;
    return true;
}
