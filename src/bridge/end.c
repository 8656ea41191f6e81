/* SPDX-License-Identifier: BSD-2-Clause */

#include "end.h"
#include "events.h"
#include "input.h"
#include "stream.h"


static void
settle(bridge_t *b, bridge_task_t *t)
{
    if (t->account && !t->settled && b->unsettled) {
        b->unsettled(t);
    }
}


void
bridge_task_cancel(bridge_t *b, bridge_task_t *t)
{
    settle(b, t);

    if (bridge_task_mark_cancelled(t)) {
        bridge_stream_wake(t);
        bridge_events_push(b, t);
    }
}


void
bridge_task_free(bridge_t *b, bridge_task_t *t, bool delivered)
{
    settle(b, t);

    if (t->release) {
        t->release(t->release_arg, delivered);
        t->release = NULL;
    }

    bridge_events_drop(b, t);

    if (bridge_task_state(t) & BRIDGE_TASK_STREAM) {
        bridge_input_drop(t);
        bridge_stream_clear(t);
    }

    bridge_task_recycle(b, t);
}
