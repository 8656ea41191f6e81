/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef BRIDGE_END_H
#define BRIDGE_END_H

/* How the host ends a task: it waits no longer, or has what it wanted. */

#include "task.h"

#pragma GCC visibility push(hidden)

/*
 * Host thread.  Nobody waits for the answer any more: a poll passes over
 * the task, whose request is freed.  A runtime that has it may ask, and is
 * told where it takes events.  The task still comes up.
 */
void bridge_task_cancel(bridge_t *b, bridge_task_t *t);

/*
 * Host thread.  Ends a task that is not queued or has come up; its
 * handle is stale from now on.  Calls the answer's release.
 */
void bridge_task_free(bridge_t *b, bridge_task_t *t, bool delivered);

#pragma GCC visibility pop

#endif /* BRIDGE_END_H */
