/* Memory that nobody may look at for now: AddressSanitizer reports who does; without it this is nothing. */
#ifndef RUNNEL_PROTOCOL_BASE_POISON_H
#define RUNNEL_PROTOCOL_BASE_POISON_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define POISONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISONS 1
#endif
#endif

#ifdef POISONS
#include <sanitizer/asan_interface.h>
#endif

static inline void poison(void *p, size_t size)
{
#ifdef POISONS
    /* gcc takes the const argument for a read of bytes that nobody wrote; hide where p comes from. */
    __asm__("" : "+r"(p));
    __asan_poison_memory_region(p, size);
#endif
    (void)p, (void)size;
}

static inline void unpoison(void *p, size_t size)
{
#ifdef POISONS
    __asan_unpoison_memory_region(p, size);
#endif
    (void)p, (void)size;
}

#endif
