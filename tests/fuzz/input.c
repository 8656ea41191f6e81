/* SPDX-License-Identifier: BSD-2-Clause */

#include "program.h"


bridge_t  *b;
model_t   *m;
input_t    in;


unsigned
byte(void)
{
    return in.p < in.end ? *in.p++ : 0;
}


unsigned
below(unsigned n)
{
    return byte() % n;
}


size_t
length(void)
{
    static const int  sizes[] = { 0, 1, 31, 32, 159, 160, 161, MAX_BODY };

    unsigned  n;

    n = byte();

    return n < 128 ? n : (size_t) sizes[n % 8];
}


void *
pointer(uint64_t handle)
{
    return (void *) (uintptr_t) handle;
}


uint64_t
number(const void *handle)
{
    return (uint64_t) (uintptr_t) handle;
}


/* one that was given out, for either kind; now good or stale */
static uint64_t
given(void)
{
    unsigned  n;

    n = byte();

    if (n % 4 == 0 && m->nqueues) {
        return m->queues[n / 4 % (unsigned) m->nqueues].handle;
    }

    return m->ntasks ? m->tasks[n % (unsigned) m->ntasks].handle : 0;
}


static uint64_t
invented(void)
{
    int       i;
    uint64_t  handle;

    switch (below(4)) {

    case 0:
        return given() ^ UINT64_C(1) << below(64);

    case 1:
        return byte();

    case 2:
        return given() + byte() - 128;

    default:
        for (i = 0, handle = 0; i < 8; i++) {
            handle = handle << 8 | byte();
        }

        return handle;
    }
}


uint64_t
task_handle(void)
{
    unsigned  n;

    n = byte();

    if (n < 200 && m->ntasks) {
        return m->tasks[n % (unsigned) m->ntasks].handle;
    }

    return n < 220 ? given() : invented();
}


uint64_t
queue_handle(void)
{
    unsigned  n;

    n = byte();

    if (n < 200 && m->nqueues) {
        return m->queues[n % (unsigned) m->nqueues].handle;
    }

    return n < 220 ? given() : invented();
}


queue_t *
any_queue(void)
{
    queue_t  *q;

    if (m->nqueues == 0) {
        return NULL;
    }

    q = &m->queues[below((unsigned) m->nqueues)];

    return q->live ? q : NULL;
}
