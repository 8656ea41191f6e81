/* SPDX-License-Identifier: BSD-2-Clause */

#include <string.h>

#include "events.h"
#include "model.h"


queue_t *
model_queue(model_t *m, uint64_t handle)
{
    int  i;

    for (i = 0; i < m->nqueues; i++) {
        if (m->queues[i].live && m->queues[i].handle == handle) {
            return &m->queues[i];
        }
    }

    return NULL;
}


task_t *
model_polled(model_t *m, uint64_t handle)
{
    int  i;

    for (i = 0; i < m->ntasks; i++) {
        if (m->tasks[i].state == POLLED && m->tasks[i].handle == handle) {
            return &m->tasks[i];
        }
    }

    return NULL;
}


void
model_up(model_t *m, task_t *t)
{
    t->state = ANSWERED;
    model_up_node(m, BRIDGE_NODE_ANSWER, (int) (t - m->tasks));
}


void
model_up_node(model_t *m, int kind, int index)
{
    require(m->nup < MAX_UP);
    m->up[m->nup++] = (up_t) { kind, index };
}


int
model_pop(model_t *m, queue_t *q, int n, int *got)
{
    int      i, ngot;
    task_t  *t;

    ngot = 0;

    for (i = 0; i < n; i++) {
        t = &m->tasks[q->waiting[i]];

        if (t->cancelled || t->deadline == 1) {
            t->rejected = true;
            model_up(m, t);

        } else {
            t->state = POLLED;
            got[ngot++] = q->waiting[i];
        }
    }

    q->nwaiting -= n;
    memmove(q->waiting, q->waiting + n, (size_t) q->nwaiting * sizeof(int));

    return ngot;
}


void
model_signal(queue_t *q)
{
    /* a kick that nobody has seen yet is told of once more */

    q->readable |= (q->armed || q->kicked) && q->fd != -1;
    q->armed = false;
}


void
model_kick(queue_t *q)
{
    q->kicked = true;
    q->readable |= q->fd != -1;
    q->armed = false;
}


void
model_tell(model_t *m, task_t *t)
{
    queue_t  *q;

    q = t->queue == -1 ? NULL : &m->queues[t->queue];

    if (q == NULL || !q->live) {
        return;
    }

    if (!t->in_events) {
        t->in_events = true;
        q->events[q->nevents++] = (int) (t - m->tasks);
    }

    if (q->watch == BRIDGE_WATCH_ANY) {
        model_kick(q);
    }
}


void
model_forget(model_t *m, task_t *t)
{
    int       i, n;
    queue_t  *q;

    if (!t->in_events) {
        return;
    }

    t->in_events = false;
    q = &m->queues[t->queue];

    for (i = 0, n = 0; i < q->nevents; i++) {
        if (q->events[i] != (int) (t - m->tasks)) {
            q->events[n++] = q->events[i];
        }
    }

    q->nevents = n;
}


void
model_cancel(model_t *m, task_t *t)
{
    if (t->cancelled) {
        return;
    }

    t->cancelled = true;

    if (t->state == POLLED) {
        model_tell(m, t);
    }
}


static void
compare_queue(model_t *m, queue_t *q)
{
    int       i;
    bool      all_cancelled;
    task_t   *t;
    uint32_t  cancelled;

    cancelled = 0;
    all_cancelled = true;

    for (i = 0; i < m->ntasks; i++) {
        t = &m->tasks[i];

        if (t->state != GONE && t->queue == (int) (q - m->queues)) {
            cancelled += t->cancelled;
            all_cancelled &= t->state != QUEUED || t->cancelled;
        }
    }

    require(bridge_queue_len(q->queue) == (uint32_t) q->nwaiting);
    require(bridge_queue_full(q->queue) == ((uint32_t) q->nwaiting
                                            >= q->limit));
    require(bridge_queue_cancelled(q->queue) == cancelled);
    require(bridge_queue_all_cancelled(q->queue) == all_cancelled);
    require(bridge_queue_threads(q->queue) == (uint32_t) q->polled_here);
    require(bridge_queue_orphaned(q->queue)
            == (q->polled && !q->polled_here));
}


void
model_compare(model_t *m, bridge_t *b)
{
    int       i;
    task_t   *t;
    uint32_t  live;

    live = 0;

    for (i = 0; i < m->ntasks; i++) {
        t = &m->tasks[i];

        if (t->state != GONE) {
            live++;
            require(t->task->stream.unreleased == t->unreleased);
            require(t->task->stream.unread == t->unread);
            require(t->task->in_events == t->in_events);
            require(t->task->stream.headless == t->headless);
        }
    }

    require(b->live_tasks == live);

    for (i = 0; i < m->nqueues; i++) {
        if (m->queues[i].live) {
            compare_queue(m, &m->queues[i]);
        }
    }
}
