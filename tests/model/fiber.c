/* SPDX-License-Identifier: BSD-2-Clause */

#include <string.h>
#include <ucontext.h>

#include "fiber.h"


#define STACK  (64 * 1024)
#define USED   (16 * 1024)      /* of it, at most */
#define BELOW  1024             /* cleaned behind a fiber that pauses */
#define LOCAL  64


extern char  __start_model_local[], __stop_model_local[];

static _Alignas(64) char  stacks[MODEL_FIBERS][STACK];
static char               locals[MODEL_FIBERS][LOCAL];
static bool               begun[MODEL_FIBERS];
static ucontext_t         start;

/* of __builtin_setjmp: the frame, where to go on, the stack */
static void              *contexts[MODEL_FIBERS][5];
static void              *home[5], *outside[5];

/* for the section to be */
static MODEL_LOCAL int    pad;


/* what calls have left there would be in the gaps of frames to come */
static void
clean(unsigned fiber)
{
    char  *sp;

    sp = contexts[fiber][2];
    memset(sp - BELOW, 0, BELOW);
}


static size_t
local_size(void)
{
    return (size_t) (__stop_model_local - __start_model_local);
}


void
fiber_reset(void)
{
    unsigned  i;

    for (i = 0; i < MODEL_FIBERS; i++) {
        memset(stacks[i] + STACK - USED, 0, USED);
    }

    memset(locals, 0, sizeof(locals));
    memset(begun, 0, sizeof(begun));
    memset(__start_model_local, 0, local_size());
    pad = 0;

    /* once, so that what a fiber finds in its registers is the same */

    if (start.uc_stack.ss_size == 0) {
        (void) getcontext(&start);
    }
}


static __attribute__((noinline, noreturn)) void
go(void **context)
{
    __builtin_longjmp(context, 1);
}


__attribute__((noinline)) void
fiber_run(void (*f)(void))
{
    if (__builtin_setjmp(outside) == 0) {
        f();
    }
}


void
fiber_leave(void)
{
    go(outside);
}


/* not inlined: all registers are on the stack behind the context then */
__attribute__((noinline)) void
fiber_pause(unsigned fiber)
{
    if (__builtin_setjmp(contexts[fiber]) == 0) {
        memcpy(locals[fiber], __start_model_local, local_size());
        go(home);
    }
}


__attribute__((noinline)) void
fiber_go_on(unsigned fiber, void (*body)(void))
{
    if (begun[fiber]) {
        clean(fiber);
    }

    if (__builtin_setjmp(home) == 0) {
        memcpy(__start_model_local, locals[fiber], local_size());

        if (begun[fiber]) {
            go(contexts[fiber]);
        }

        begun[fiber] = true;
        start.uc_stack.ss_sp = stacks[fiber];
        start.uc_stack.ss_size = STACK;
        makecontext(&start, body, 0);
        (void) setcontext(&start);
    }
}


void
fiber_end(unsigned fiber)
{
    begun[fiber] = false;
    go(home);
}


uint64_t
fiber_hash(unsigned fiber, uint64_t hash)
{
    char  *sp;

    if (!begun[fiber]) {
        return hash;
    }

    sp = contexts[fiber][2];
    hash = fiber_mix(hash, contexts[fiber], 3 * sizeof(void *));
    hash = fiber_mix(hash, sp, (size_t) (stacks[fiber] + STACK - sp));

    return fiber_mix(hash, locals[fiber], LOCAL);
}


uint64_t
fiber_mix(uint64_t hash, const void *p, size_t size)
{
    size_t       i;
    uint64_t     words[2], a, b;
    const char  *bytes = p;

    a = hash ^ size;
    b = hash + UINT64_C(0x9e3779b97f4a7c15);

    for (i = 0; i + sizeof(words) <= size; i += sizeof(words)) {
        memcpy(words, bytes + i, sizeof(words));
        a = (a ^ words[0]) * UINT64_C(0xc2b2ae3d27d4eb4f);
        a ^= a >> 29;
        b = (b ^ words[1]) * UINT64_C(0x9e3779b185ebca87);
        b ^= b >> 31;
    }

    memset(words, 0, sizeof(words));
    memcpy(words, bytes + i, size - i);
    a = (a ^ words[0]) * UINT64_C(0xff51afd7ed558ccd);
    b = (b ^ words[1]) * UINT64_C(0x94d049bb133111eb);
    a ^= a >> 33;
    b ^= b >> 32;

    return (a + (b << 23 | b >> 41)) * UINT64_C(0xbf58476d1ce4e5b9);
}
