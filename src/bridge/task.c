/* SPDX-License-Identifier: BSD-2-Clause */

#include <stdlib.h>
#include <string.h>

#include "task.h"


static bridge_task_t *
add_chunk(bridge_t *b)
{
    uint32_t             i;
    bridge_task_t       *chunk;
    pthread_condattr_t   attr;

    if (b->ntasks == BRIDGE_MAX_TASKS) {
        return NULL;
    }

    chunk = calloc(BRIDGE_CHUNK, sizeof(bridge_task_t));
    if (chunk == NULL || pthread_condattr_init(&attr) != 0) {
        free(chunk);
        return NULL;
    }

    (void) pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);

    for (i = 0; i < BRIDGE_CHUNK; i++) {
        (void) pthread_mutex_init(&chunk[i].stream.lock, NULL);
        (void) pthread_cond_init(&chunk[i].stream.changed, &attr);
        chunk[i].stream.room.kind = BRIDGE_NODE_ROOM;
        chunk[i].slot = b->ntasks + i;
        chunk[i].node.next = i + 1 < BRIDGE_CHUNK ? &chunk[i + 1].node : NULL;
        atomic_init(&chunk[i].state, (uint64_t) 1 << BRIDGE_TASK_GEN_SHIFT);
    }

    (void) pthread_condattr_destroy(&attr);

    atomic_store_explicit(&b->chunks[b->ntasks / BRIDGE_CHUNK], chunk,
                          memory_order_release);
    b->ntasks += BRIDGE_CHUNK;

    return chunk;
}


char *
bridge_task_text(char *buf, size_t room, const char *text, size_t len)
{
    char  *copy;

    /* what a runtime calls a length may leave no room for the NUL */

    copy = len < room ? buf : len + 1 ? malloc(len + 1) : NULL;
    if (copy == NULL) {
        return NULL;
    }

    /* an answer may be part of the request whose place it takes */

    if (len) {
        memmove(copy, text, len);
    }

    copy[len] = '\0';

    return copy;
}


static void
free_text(char *buf, char *text)
{
    if (text != buf) {
        free(text);
    }
}


static void
free_request(bridge_task_t *t)
{
    free_text(t->req_buf,
              atomic_exchange_explicit(&t->req, NULL, memory_order_relaxed));
    free_text(t->method_buf,
              atomic_exchange_explicit(&t->method, NULL,
                                       memory_order_relaxed));
}


/* it stays there; NULL where memory or slots ran out */
static bridge_task_t *
first_free(bridge_t *b)
{
    if (b->free_tasks == NULL) {
        b->free_tasks = add_chunk(b);
    }

    return b->free_tasks;
}


/* takes the first free one; req may be NULL */
static bridge_task_t *
take_free(bridge_t *b, char *req, int len, char *method, size_t method_len,
    bool web)
{
    bridge_task_t  *t;

    t = b->free_tasks;

    b->free_tasks = (bridge_task_t *) t->node.next;
    b->live_tasks++;

    t->data = NULL;
    t->account = NULL;
    t->watched = false;
    t->settled = false;
    t->deadline = 0;
    t->put_at = 0;
    t->taken_at = 0;
    t->queue = 0;
    t->cancelled = NULL;
    t->rc = 0;
    t->rejected = false;
    t->rsp = NULL;
    t->rsp_len = 0;
    t->release = NULL;
    atomic_store_explicit(&t->tid, 0, memory_order_relaxed);
    atomic_store_explicit(&t->web, web, memory_order_relaxed);
    atomic_store_explicit(&t->no_method, false, memory_order_relaxed);
    atomic_store_explicit(&t->trace_len, 0, memory_order_relaxed);
    atomic_store_explicit(&t->req, req, memory_order_relaxed);
    atomic_store_explicit(&t->req_len, len, memory_order_relaxed);
    atomic_store_explicit(&t->method, method, memory_order_relaxed);
    atomic_store_explicit(&t->method_len, (int) method_len,
                          memory_order_relaxed);
    atomic_fetch_or_explicit(&t->state, BRIDGE_TASK_QUEUED,
                             memory_order_release);

    return t;
}


bridge_task_t *
bridge_task_new(bridge_t *b, const char *req, size_t len,
    const char *method, size_t method_len)
{
    char           *r, *m;
    bridge_task_t  *t;

    t = first_free(b);
    if (t == NULL) {
        return NULL;
    }

    r = bridge_task_text(t->req_buf, BRIDGE_INLINE_REQ, req, req ? len : 0);
    if (r == NULL) {
        return NULL;
    }

    m = bridge_task_text(t->method_buf, BRIDGE_INLINE_METHOD, method,
                  method ? method_len : 0);
    if (m == NULL) {
        free_text(t->req_buf, r);
        return NULL;
    }

    return take_free(b, r, req ? (int) len : -1, m, method ? method_len : 0,
                     false);
}


bridge_task_t *
bridge_task_new_web(bridge_t *b, char *head, size_t len)
{
    bridge_task_t  *t;

    t = first_free(b);
    if (t == NULL) {
        return NULL;
    }

    t->method_buf[0] = '\0';

    return take_free(b, head, (int) len, t->method_buf, 0, true);
}


void
bridge_task_set_trace(bridge_task_t *t, const char *trace, size_t len)
{
    if (len > BRIDGE_TRACE_LEN) {
        len = 0;
    }

    memcpy(t->trace, trace, len);
    atomic_store_explicit(&t->trace_len, (int) len, memory_order_relaxed);
}


static void
count_cancelled(bridge_task_t *t, int n)
{
    if (t->cancelled && t->cancelled->queue == t->queue) {
        t->cancelled->tasks += (uint32_t) n;
    }
}


void
bridge_task_recycle(bridge_t *b, bridge_task_t *t)
{
    uint64_t  state;

    state = atomic_load_explicit(&t->state, memory_order_relaxed);

    if (state & BRIDGE_TASK_CANCEL) {
        count_cancelled(t, -1);
    }

    atomic_store_explicit(&t->state, (uint64_t) (bridge_task_gen(state) + 1)
                          << BRIDGE_TASK_GEN_SHIFT, memory_order_release);

    free_request(t);

    t->data = NULL;
    t->node.next = (bridge_node_t *) b->free_tasks;
    b->free_tasks = t;
    b->live_tasks--;
}


uint64_t
bridge_task_handle(const bridge_task_t *t)
{
    return bridge_handle(BRIDGE_KIND_TASK,
                         bridge_task_gen(atomic_load_explicit(&t->state,
                                                memory_order_relaxed)),
                         t->slot);
}


uint64_t
bridge_task_id(const bridge_task_t *t)
{
    return bridge_task_handle(t) & BRIDGE_ID_MASK;
}


bridge_task_t *
bridge_task_at(bridge_t *b, uint32_t slot)
{
    bridge_task_t  *chunk;

    chunk = atomic_load_explicit(&b->chunks[slot / BRIDGE_CHUNK],
                                 memory_order_acquire);

    return chunk ? &chunk[slot % BRIDGE_CHUNK] : NULL;
}


bridge_task_t *
bridge_task_of(bridge_t *b, uint64_t handle, uint64_t *state)
{
    bridge_task_t  *t;

    if (!bridge_handle_is(handle, BRIDGE_KIND_TASK)
        || atomic_load_explicit(&b->dead, memory_order_relaxed))
    {
        return NULL;
    }

    t = bridge_task_at(b, bridge_handle_slot(handle));
    if (t == NULL) {
        return NULL;
    }

    *state = atomic_load_explicit(&t->state, memory_order_acquire);

    return bridge_task_gen(*state) == bridge_handle_gen(handle) ? t : NULL;
}


bridge_task_t *
bridge_task_find(bridge_t *b, uint64_t id)
{
    uint64_t        state;
    bridge_task_t  *t;

    t = bridge_task_of(b, bridge_handle(BRIDGE_KIND_TASK, 0, 0)
                   | (id & BRIDGE_ID_MASK), &state);

    return t && bridge_task_phase(state) != BRIDGE_TASK_FREE ? t : NULL;
}


bool
bridge_task_mark_cancelled(bridge_task_t *t)
{
    uint64_t  old;

    old = atomic_fetch_or_explicit(&t->state, BRIDGE_TASK_CANCEL,
                                   memory_order_acq_rel);

    if (old & BRIDGE_TASK_CANCEL) {
        return false;
    }

    count_cancelled(t, 1);

    if (bridge_task_phase(old) == BRIDGE_TASK_QUEUED) {

        /* no poll hands it out any more, and nobody reads it */
        free_request(t);
    }

    return bridge_task_phase(old) == BRIDGE_TASK_POLLED;
}


int
bridge_task_holder(const bridge_task_t *t)
{
    uint64_t  state;

    state = atomic_load_explicit(&t->state, memory_order_relaxed);

    return bridge_task_phase(state) == BRIDGE_TASK_POLLED
           ? atomic_load_explicit(&t->tid, memory_order_relaxed) : 0;
}


void
bridge_task_lend(bridge_task_t *t)
{
    uint64_t  state;

    state = atomic_load_explicit(&t->state, memory_order_relaxed);

    atomic_store_explicit(&t->state, (state & ~(uint64_t) BRIDGE_TASK_PHASE)
                          | BRIDGE_TASK_POLLED, memory_order_release);
}


bool
bridge_task_take(bridge_t *b, bridge_task_t *t, int64_t now, int tid,
    uint64_t *handle)
{
    bool      late;
    uint64_t  state, want;

    state = atomic_load_explicit(&t->state, memory_order_acquire);
    *handle = bridge_handle(BRIDGE_KIND_TASK, bridge_task_gen(state), t->slot);

    atomic_store_explicit(&t->tid, tid, memory_order_relaxed);

    do {
        late = (state & BRIDGE_TASK_CANCEL)
               || (t->deadline && now >= t->deadline);
        want = (state & ~(uint64_t) BRIDGE_TASK_PHASE)
               | (late ? BRIDGE_TASK_ANSWERED : BRIDGE_TASK_POLLED);
    } while (!atomic_compare_exchange_weak_explicit(&t->state, &state, want,
                                                    memory_order_acq_rel,
                                                    memory_order_acquire));

    if (late) {
        t->rejected = true;
        bridge_up(b, &t->node);
    }

    return !late;
}


void
bridge_task_reject(bridge_t *b, bridge_task_t *t)
{
    atomic_fetch_or_explicit(&t->state, BRIDGE_TASK_ANSWERED,
                             memory_order_acq_rel);
    t->rejected = true;
    bridge_up(b, &t->node);
}
