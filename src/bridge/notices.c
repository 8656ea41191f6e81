#include <stdlib.h>

#include "notices.h"


struct bridge_notice_s {
    bridge_notice_t  *next;
    uint64_t          task;
};


static void
link_in(bridge_queue_t *q, bridge_notice_t *first, bridge_notice_t *last)
{
    bridge_notice_t  *head;

    head = atomic_load_explicit(&q->notices, memory_order_relaxed);

    do {
        last->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&q->notices, &head,
                                                    first,
                                                    memory_order_release,
                                                    memory_order_relaxed));
}


void
bridge_notices_push(bridge_t *b, uint64_t queue, uint64_t task)
{
    bridge_queue_t   *q;
    bridge_notice_t  *n;

    q = bridge_queue_find(b, queue);
    if (q == NULL || !atomic_load(&q->watched)) {
        return;
    }

    n = malloc(sizeof(bridge_notice_t));
    if (n == NULL) {
        return;
    }

    n->task = task;
    link_in(q, n, n);

    bridge_kick(b, queue);
}


int
bridge_notices_take(bridge_t *b, uint64_t queue, uint64_t *handles, int max)
{
    int               n;
    bridge_queue_t   *q;
    bridge_notice_t  *first, *next, *last;

    q = bridge_queue_pin(b, queue);
    if (q == NULL) {
        return 0;
    }

    if (!atomic_load_explicit(&q->watched, memory_order_relaxed)) {
        atomic_store(&q->watched, true);
    }

    n = 0;
    first = NULL;

    if (atomic_load_explicit(&q->notices, memory_order_relaxed)) {
        first = atomic_exchange_explicit(&q->notices, NULL,
                                         memory_order_acquire);
    }

    while (first && n < max) {
        next = first->next;
        handles[n++] = first->task;
        free(first);
        first = next;
    }

    if (first) {
        for (last = first; last->next; last = last->next) { /* void */ }
        link_in(q, first, last);
    }

    bridge_queue_unpin(q);

    return n;
}


void
bridge_notices_clear(bridge_queue_t *q)
{
    bridge_notice_t  *n, *next;

    n = atomic_exchange(&q->notices, NULL);

    for ( /* void */ ; n; n = next) {
        next = n->next;
        free(n);
    }
}
