/* SPDX-License-Identifier: BSD-2-Clause */

#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "quiet.h"


/* a task that some thread has and has not answered; NULL if not */
static bridge_task_t *
polled_task(bridge_t *b, uint64_t handle, uint64_t *state)
{
    bridge_task_t  *t;

    t = bridge_task_of(b, handle, state);

    return t && bridge_task_is_polled(*state, handle) ? t : NULL;
}


char *
bridge_task_req(bridge_t *b, uint64_t handle, int *len, bool *ok)
{
    int             n;
    char           *req;
    uint64_t        state;
    bridge_task_t  *t;

    req = NULL;
    n = 0;

    t = polled_task(b, handle, &state);

    if (t) {
        n = atomic_load_explicit(&t->req_len, memory_order_relaxed);
        if (n >= 0) {
            req = atomic_load_explicit(&t->req, memory_order_relaxed);
        }
    }

    if (len) {
        *len = req ? n : 0;
    }

    if (ok) {
        *ok = t != NULL;
    }

    return req;
}


char *
bridge_task_take_req(bridge_t *b, uint64_t handle, int *len)
{
    int             n;
    bool            inlined;
    char           *req, *taken;
    uint64_t        state;
    bridge_task_t  *t;

    taken = NULL;

    req = bridge_task_req(b, handle, &n, NULL);
    t = polled_task(b, handle, &state);

    if (req == NULL || t == NULL) {
        n = 0;
        goto end;
    }

    inlined = req == t->req_buf;

    taken = inlined ? malloc((size_t) n + 1) : req;
    if (taken == NULL) {
        goto end;
    }

    if (inlined) {
        memcpy(taken, req, (size_t) n + 1);
    }

    if (!atomic_compare_exchange_strong_explicit(&t->req, &req, NULL,
                                                 memory_order_relaxed,
                                                 memory_order_relaxed))
    {
        /* another thread was faster */

        if (inlined) {
            free(taken);
        }

        taken = NULL;
        n = 0;
    }

end:

    if (len) {
        *len = n;
    }

    return taken;
}


char *
bridge_task_web(bridge_t *b, uint64_t handle)
{
    uint64_t        state;
    bridge_task_t  *t;

    t = polled_task(b, handle, &state);

    if (t == NULL || !atomic_load_explicit(&t->web, memory_order_relaxed)) {
        return NULL;
    }

    return atomic_load_explicit(&t->req, memory_order_relaxed);
}


const char *
bridge_task_trace(bridge_t *b, uint64_t handle, int *len)
{
    uint64_t        state;
    bridge_task_t  *t;

    t = polled_task(b, handle, &state);

    *len = t ? atomic_load_explicit(&t->trace_len, memory_order_relaxed) : 0;

    return *len ? t->trace : NULL;
}


void
bridge_task_no_method(bridge_t *b, uint64_t handle)
{
    uint64_t        state;
    bridge_task_t  *t;

    t = polled_task(b, handle, &state);

    if (t) {
        atomic_store_explicit(&t->no_method, true, memory_order_relaxed);
    }
}


const char *
bridge_task_method(bridge_t *b, uint64_t handle, int *len)
{
    uint64_t        state;
    bridge_task_t  *t;

    t = polled_task(b, handle, &state);

    if (len) {
        *len = t ? atomic_load_explicit(&t->method_len, memory_order_relaxed)
                 : 0;
    }

    if (t == NULL) {
        return NULL;
    }

    return atomic_load_explicit(&t->method, memory_order_relaxed);
}


int64_t
bridge_task_deadline(bridge_t *b, uint64_t handle)
{
    uint64_t        state;
    bridge_task_t  *t;

    t = polled_task(b, handle, &state);

    return t ? t->deadline : 0;
}


bool
bridge_task_cancelled(bridge_t *b, uint64_t handle)
{
    uint64_t        state;
    bridge_task_t  *t;

    t = polled_task(b, handle, &state);

    return t == NULL || (state & BRIDGE_TASK_CANCEL);
}


/*
 * Makes the calling thread the one that answers; NULL where the task does
 * not wait for an answer (any more).  Who sends a part has the lock of its
 * stream until the part is up, so none comes behind the answer.
 */
static bridge_task_t *
claim(bridge_t *b, uint64_t handle)
{
    bool            locked, claimed;
    uint64_t        state;
    bridge_task_t  *t;

    t = polled_task(b, handle, &state);
    if (t == NULL) {
        return NULL;
    }

    locked = false;
    claimed = false;

    do {
        if ((state & BRIDGE_TASK_STREAM) && !locked) {
            pthread_mutex_lock(&t->stream.lock);
            locked = true;
        }

        if (!bridge_task_is_polled(state, handle)) {
            break;
        }

        claimed = atomic_compare_exchange_weak_explicit(&t->state, &state,
                                                 state | BRIDGE_TASK_ANSWERED,
                                                 memory_order_acq_rel,
                                                 memory_order_acquire);
    } while (!claimed);

    if (locked) {
        if (claimed) {
            pthread_cond_broadcast(&t->stream.changed);
        }

        pthread_mutex_unlock(&t->stream.lock);
    }

    return claimed ? t : NULL;
}


/* t may be gone as soon as it is up */
static void
up(bridge_t *b, bridge_task_t *t)
{
    uint64_t  queue;

    queue = t->queue;

    if (bridge_lay_up(b, &t->node)) {
        bridge_quiet_notify(b, queue);
    }
}


bool
bridge_task_answer(bridge_t *b, uint64_t handle, int rc, const char *rsp,
    size_t len, bridge_release_pt release, void *arg)
{
    bridge_task_t  *t;

    t = claim(b, handle);
    if (t == NULL) {
        return false;
    }

    t->rc = rc;
    t->rsp = rsp;
    t->rsp_len = len;
    t->release = release;
    t->release_arg = arg;

    up(b, t);

    return true;
}


void
bridge_release_free(void *arg, int delivered)
{
    (void) delivered;
    free(arg);
}


bool
bridge_task_answer_copy(bridge_t *b, uint64_t handle, int rc,
    const char *rsp, size_t len)
{
    char           *copy;
    bridge_task_t  *t;

    t = claim(b, handle);
    if (t == NULL) {
        return false;
    }

    copy = NULL;

    if (rsp) {
        copy = bridge_task_text(t->req_buf, BRIDGE_INLINE_REQ, rsp, len);
    }

    /* without its body it is not the answer that was given */

    t->rc = rc == 0 && rsp && copy == NULL ? 1 : rc;
    t->rsp = copy;
    t->rsp_len = copy ? len : 0;

    if (copy && copy != t->req_buf) {
        t->release = bridge_release_free;
        t->release_arg = copy;
    }

    up(b, t);

    return true;
}
