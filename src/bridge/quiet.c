/* SPDX-License-Identifier: BSD-2-Clause */

#include "quiet.h"

#include "clock.h"


static _Thread_local int64_t  told;     /* us, when the host was last */
static _Thread_local bool     owes;


void
bridge_quiet_notify(bridge_t *b, uint64_t queue)
{
    int64_t          now;
    bridge_queue_t  *q;

    q = bridge_queue_find(b, queue);

    if (q && bridge_quiet_backlog(q)) {
        now = bridge_now_us();

        /* either the host sees what was laid up, or this that it has ended */

        atomic_thread_fence(memory_order_seq_cst);

        if (now < told + atomic_load(&q->quiet) && atomic_load(&b->quiet)) {
            owes = true;
            return;
        }

        told = now;
    }

    owes = false;
    bridge_notify(b);
}


void
bridge_quiet_poll(bridge_t *b, bridge_queue_t *q, int timeout_ms)
{
    if (owes
        && (timeout_ms != 0
            || bridge_queue_len(q) == 0
            || bridge_now_us() >= told + atomic_load(&q->quiet)))
    {
        owes = false;
        told = bridge_now_us();
        bridge_notify(b);
    }
}


bool
bridge_quiet_backlog(const bridge_queue_t *q)
{
    return atomic_load_explicit(&q->quiet, memory_order_relaxed)
           && bridge_queue_len(q);
}


void
bridge_quiet_begin(bridge_t *b)
{
    atomic_store(&b->quiet, true);
}


void
bridge_quiet_end(bridge_t *b)
{
    atomic_store(&b->quiet, false);
    atomic_thread_fence(memory_order_seq_cst);
}


bool
bridge_quiet_begun(bridge_t *b)
{
    return atomic_load_explicit(&b->quiet, memory_order_relaxed);
}


bool
bridge_quiet_any(bridge_t *b)
{
    uint32_t         i;
    bridge_queue_t  *q;

    for (i = 0; i < b->nqueues; i++) {
        q = atomic_load_explicit(&b->queues[i], memory_order_relaxed);

        if (q->in_use && bridge_quiet_backlog(q)) {
            return true;
        }
    }

    return false;
}
