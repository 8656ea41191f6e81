/* SPDX-License-Identifier: BSD-2-Clause */

#include "bridge.h"


void
bridge_init(bridge_t *b, void (*notify)(void *arg), void *arg)
{
    b->host = pthread_self();
    b->notify = notify;
    b->notify_arg = arg;
}


void
bridge_mark_dead(bridge_t *b)
{
    atomic_store_explicit(&b->dead, true, memory_order_relaxed);
}


bool
bridge_lay_up(bridge_t *b, bridge_node_t *n)
{
    bridge_node_t  *top;

    top = atomic_load_explicit(&b->stack, memory_order_relaxed);

    do {
        n->next = top;
    } while (!atomic_compare_exchange_weak_explicit(&b->stack, &top, n,
                                                    memory_order_release,
                                                    memory_order_relaxed));

    return top == NULL;
}


void
bridge_notify(bridge_t *b)
{
    b->notify(b->notify_arg);
}


void
bridge_up(bridge_t *b, bridge_node_t *n)
{
    /* n may be gone already: the host takes without being notified, too */

    if (bridge_lay_up(b, n)) {
        bridge_notify(b);
    }
}


bridge_node_t *
bridge_take(bridge_t *b)
{
    bridge_node_t  *n, *next, *first;

    if (atomic_load_explicit(&b->stack, memory_order_relaxed) == NULL) {
        return NULL;
    }

    n = atomic_exchange_explicit(&b->stack, NULL, memory_order_acquire);

    for (first = NULL; n; n = next) {
        next = n->next;
        n->next = first;
        first = n;
    }

    return first;
}
