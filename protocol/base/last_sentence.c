/* Keeps the newest sentence. */
#include "protocol/base/last_sentence.h"

#include <stdatomic.h>
#include <stdlib.h>

const char *last_sentence(char *text)
{
    static _Atomic(char *) newest;
    free(atomic_exchange(&newest, text));
    return text;
}
