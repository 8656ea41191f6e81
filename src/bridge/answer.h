/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef BRIDGE_ANSWER_H
#define BRIDGE_ANSWER_H

/* What a runtime may do with a task that it has polled, on any thread. */

#include "task.h"

#pragma GCC visibility push(hidden)

/*
 * Any thread.  Request bytes, owned by the task until it is answered; NULL
 * and *len 0 (len may be NULL) where it was nil or the handle is not good.
 * *ok, where not NULL: whether the handle was good.
 */
char *bridge_task_req(bridge_t *b, uint64_t handle, int *len, bool *ok);

/*
 * Any thread.  The same bytes for keeps: malloc'ed, with a NUL behind them,
 * the caller's; bridge_task_req has none from then on.  Where memory ran out,
 * NULL and *len the bytes there are.
 */
char *bridge_task_take_req(bridge_t *b, uint64_t handle, int *len);

/* Any thread.  The same bytes of a web request; NULL for any other. */
char *bridge_task_web(bridge_t *b, uint64_t handle);

/* Any thread.  The method's name, owned by the task; NULL if stale. */
const char *bridge_task_method(bridge_t *b, uint64_t handle, int *len);

/* Any thread.  What bridge_task_set_trace has set; NULL: nothing, or stale. */
const char *bridge_task_trace(bridge_t *b, uint64_t handle, int *len);

/* Any thread.  Notes that the runtime has no such method; before the answer. */
void bridge_task_no_method(bridge_t *b, uint64_t handle);

/* Any thread.  The task's deadline; 0: none, or stale. */
int64_t bridge_task_deadline(bridge_t *b, uint64_t handle);

/* Any thread.  Whether nobody waits for the answer; true if stale. */
bool bridge_task_cancelled(bridge_t *b, uint64_t handle);

/*
 * Any thread.  Ends the task: rsp stays as it is until release(arg) is
 * called on the host thread (release may be NULL).  false: not a task that
 * waits for an answer (answered already, unknown); nothing is taken over.
 */
bool bridge_task_answer(bridge_t *b, uint64_t handle, int rc,
    const char *rsp, size_t len, bridge_release_pt release, void *arg);

/*
 * Any thread.  The same with a copy of rsp, which costs no allocation where
 * it is shorter than BRIDGE_INLINE_REQ: it takes the request's place.  Where
 * memory runs out the answer has no body, and status 1 instead of 0.
 */
bool bridge_task_answer_copy(bridge_t *b, uint64_t handle, int rc,
    const char *rsp, size_t len);

/* One that frees arg, which malloc gave. */
void bridge_release_free(void *arg, int delivered);

#pragma GCC visibility pop

#endif /* BRIDGE_ANSWER_H */
