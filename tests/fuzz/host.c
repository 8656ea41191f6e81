/* SPDX-License-Identifier: BSD-2-Clause */

#include <math.h>
#include <string.h>

#include "end.h"
#include "program.h"

#include "events.h"
#include "log.h"
#include "threads.h"
#include "wake.h"


void
new_queue(void)
{
    queue_t  *q;

    if (m->nqueues == MAX_QUEUES) {
        return;
    }

    q = &m->queues[m->nqueues++];

    *q = (queue_t) { .live = true, .fd = -1, .start = -1,
                     .limit = 1 + below(40), .threads = NAN };
    q->queue = bridge_queue_new(b, q->limit);
    require(q->queue);

    if (below(2)) {
        q->threads = byte();
        q->queue->options[RESTY_FFI_THREADS] = q->threads;
    }

    q->handle = bridge_queue_handle(q->queue);
}


static bridge_task_t *
new_web_task(const char *bytes, size_t len)
{
    char           *head;
    bridge_task_t  *t;

    head = malloc(len + 1);
    require(head);
    memcpy(head, bytes, len);
    head[len] = '\0';

    t = bridge_task_new_web(b, head, len);
    require(t);

    return t;
}


static task_t *
new_task(int queue, bool web)
{
    size_t   len, method_len;
    task_t  *t;

    if (m->ntasks == MAX_TASKS) {
        return NULL;
    }

    t = &m->tasks[m->ntasks++];
    memset(t, 0, sizeof(task_t));
    t->state = QUEUED;
    t->queue = queue;
    t->high = BRIDGE_STREAM_HIGH;

    t->web = web;
    t->nil = !web && below(8) == 0;
    len = t->nil ? 0 : length();
    t->req_len = (int) len;
    memset(t->req, (int) byte(), len);

    method_len = web ? 0 : length();
    t->method_len = (int) method_len;
    memset(t->method, 'm', method_len);

    t->task = web ? new_web_task(t->req, len)
                  : bridge_task_new(b, t->nil ? NULL : t->req, len,
                                    t->method, method_len);
    require(t->task);

    t->handle = bridge_task_handle(t->task);

    return t;
}


static void
free_task(task_t *t, bool delivered)
{
    model_forget(m, t);
    bridge_task_free(b, t->task, delivered);
    t->state = GONE;
    require(t->released == t->has_release);
    require(!t->released || t->delivered == delivered);
}


static void
push_task(bool web)
{
    bool      room;
    size_t    high;
    task_t   *t;
    queue_t  *q;

    q = any_queue();
    t = q ? new_task((int) (q - m->queues), web) : NULL;
    if (t == NULL) {
        return;
    }

    if (web || below(4)) {
        high = (size_t[]) { 0, 1, 200, 1000 }[below(4)];
        t->high = high ? high : BRIDGE_STREAM_HIGH;
        t->input = below(4) != 0;
        t->headless = web;
        bridge_stream_open(t->task, high, t->input);
    }

    t->deadline = web ? 0
                  : (int64_t[]) { 0, 1, FAR_AWAY, FAR_AWAY }[below(4)];
    t->task->deadline = t->deadline;

    room = !q->closed && (uint32_t) q->nwaiting < q->limit;
    require(bridge_push(q->queue, t->task) == room);

    if (!room) {
        free_task(t, false);
        return;
    }

    q->waiting[q->nwaiting++] = (int) (t - m->tasks);
    model_signal(q);
}


void
push(void)
{
    push_task(false);
}


void
push_web(void)
{
    push_task(true);
}


void
start(void)
{
    task_t   *t;
    queue_t  *q;

    q = any_queue();
    if (q == NULL || q->start != -1) {
        return;
    }

    t = new_task(-1, false);
    if (t == NULL) {
        return;
    }

    bridge_task_lend(t->task);
    t->state = POLLED;
    q->start = (int) (t - m->tasks);
    atomic_store(&q->queue->start, t->handle);
}


void
cancel(void)
{
    task_t  *t;

    if (m->ntasks == 0) {
        return;
    }

    t = &m->tasks[byte() % (unsigned) m->ntasks];

    if (t->state != GONE && t->queue != -1) {
        bridge_task_cancel(b, t->task);
        model_cancel(m, t);
    }
}


static void
check_answer(const bridge_task_t *task, int i)
{
    task_t  *t;

    require(i < m->nup && m->up[i].kind == BRIDGE_NODE_ANSWER);
    t = &m->tasks[m->up[i].index];

    require(t->task == task && t->state == ANSWERED);
    require(task->rejected == t->rejected);
    require(t->rejected || task->rc == t->rc);
    require((task->rsp != NULL) == t->has_rsp);
    require(task->rsp_len == t->rsp_len);
    require(!t->has_rsp || memcmp(task->rsp, t->rsp, t->rsp_len) == 0);

    free_task(t, !t->cancelled);
}


int
drain(void)
{
    int             up, lines, orphans;
    bridge_node_t  *n, *next;
    bridge_line_t  *line;

    up = lines = orphans = 0;

    for (n = bridge_take(b); n; n = next) {
        next = n->next;

        if (n->kind == BRIDGE_NODE_ANSWER) {
            check_answer((bridge_task_t *) n, up++);

        } else if (n->kind == BRIDGE_NODE_HEAD) {
            take_head((bridge_head_t *) n, up++);

        } else if (n->kind == BRIDGE_NODE_PART) {
            take_part((bridge_part_t *) n, up++);

        } else if (n->kind == BRIDGE_NODE_ROOM) {
            take_room(n, up++);

        } else if (n->kind == BRIDGE_NODE_LINE) {
            line = (bridge_line_t *) n;
            require(line->text[line->len] == '\0');
            bridge_line_free(b, line);
            lines++;

        } else {
            (void) bridge_threads_ended(n);
            orphans++;
        }
    }

    require(up == m->nup);
    m->nup = 0;

    require(lines <= BRIDGE_LOG_MAX
            && (bridge_lines_lost(b) == 0 || lines == BRIDGE_LOG_MAX));

    return orphans;
}


void
close_queue(queue_t *q)
{
    bridge_queue_close(q->queue);
    q->closed = true;
    q->readable |= q->armed && q->fd != -1;
}


void
reject_all(queue_t *q)
{
    int  n, got[MAX_GOT];

    n = q->nwaiting;

    /* one at a time: they are answered in the order of the queue */

    while (q->nwaiting) {
        if (model_pop(m, q, 1, got)) {
            m->tasks[got[0]].rejected = true;
            model_up(m, &m->tasks[got[0]]);
        }
    }

    require(bridge_queue_reject(b, q->queue) == (uint32_t) n);
}


void
release_queue(queue_t *q)
{
    bool  gone;

    if (!q->closed) {
        return;
    }

    gone = q->nwaiting == 0
           && (q->fd == -1 || q->detached
               || (q->polled && (!q->polled_here || q->told)));

    require(bridge_queue_release(q->queue) == gone);
    q->live = !gone;

    while (gone && q->nevents) {
        model_forget(m, &m->tasks[q->events[0]]);
    }
}
