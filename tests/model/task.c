/* SPDX-License-Identifier: BSD-2-Clause */

/* One task: who answers it, who cancels it. */

#include <stdlib.h>
#include <string.h>

#include "world.h"


static void
setup(void)
{
    world_new();
}


static void
answer(void)
{
    if (bridge_task_answer(world.b, world.handles[0], 0, "x", 1, world_released,
                           &world.released[0]))
    {
        model_access(&world.answers, true, "answered", __func__, __LINE__);
        world.answers++;
    }
}


static void
answer_by_copy(void)
{
    if (bridge_task_answer_copy(world.b, world.handles[0], 0, "x", 1)) {
        model_access(&world.answers, true, "answered", __func__, __LINE__);
        world.answers++;
        world.released[0]++;    /* nothing to do */
    }
}


static void
ask_and_answer(void)
{
    bool  ok;

    (void) bridge_task_cancelled(world.b, world.handles[0]);
    (void) bridge_task_req(world.b, world.handles[0], NULL, &ok);
    answer();
}


static void
ended_once(void)
{
    MODEL_ASSERT(world.answers == 1);
    MODEL_ASSERT(world.back[0] == 1);
    MODEL_ASSERT(world.released[0] == 1);
    MODEL_ASSERT(bridge_task_find(world.b, world.handles[0]) == NULL);
    MODEL_ASSERT(!bridge_task_answer(world.b, world.handles[0], 0, NULL, 0,
                                     NULL, NULL));
    MODEL_ASSERT(bridge_queue_cancelled(world.q) == 0);
}


static void
ended_once_none_left(void)
{
    ended_once();
    MODEL_ASSERT(world.b->live_tasks == 0);
}


static void
ended_once_other_untouched(void)
{
    ended_once();
    MODEL_ASSERT(world.b->live_tasks == 1);
    MODEL_ASSERT(bridge_task_answer(world.b, world.handles[1], 0, NULL, 0,
                                    NULL, NULL));
}


/* ---- the request, for keeps */

static void
setup_short_request(void)
{
    world_polled();
    world.tasks[1] = bridge_task_new(world.b, "x", 1, NULL, 0);
    bridge_task_lend(world.tasks[1]);
}


static void
setup_long_request(void)
{
    char  text[BRIDGE_INLINE_REQ];

    world_polled();
    memset(text, 'x', sizeof(text));
    world.tasks[1] = bridge_task_new(world.b, text, sizeof(text), NULL, 0);
    bridge_task_lend(world.tasks[1]);
}


static void
take_request(void)
{
    int   len;
    char  *req;

    req = bridge_task_take_req(world.b, bridge_task_handle(world.tasks[1]),
                               &len);
    MODEL_ASSERT((req == NULL) == (len == 0));

    if (req) {
        model_access(&world.answers, true, "took", __func__, __LINE__);
        world.answers++;
        free(req);
    }
}


static void
taken_once(void)
{
    int  len;

    MODEL_ASSERT(world.answers == 1);
    MODEL_ASSERT(bridge_task_req(world.b, bridge_task_handle(world.tasks[1]),
                                 &len, NULL) == NULL);
    MODEL_ASSERT(len == 0);
}


/* ---- in a queue: cancelled, too late, or taken */

static void
push_cancel_and_drain(void)
{
    world_push(0);
    bridge_task_cancel(world.b, world.tasks[0]);
    world_until_back(1);
    bridge_queue_close(world.q);
}


/* a deadline that passes, or not, while it waits; the caller then goes */
static void
push_with_deadline(void)
{
    bridge_task_t  *t;

    t = world_task(0);
    t->deadline = 1;
    MODEL_ASSERT(bridge_push(world.q, t));
    model_tick(1000);
    bridge_task_cancel(world.b, t);
    world_until_back(1);
    bridge_queue_close(world.q);
}


static void
taken_or_rejected(void)
{
    MODEL_ASSERT(world.back[0] == 1 && world.taken[0] <= 1);
    MODEL_ASSERT(world.b->live_tasks == 0);
    MODEL_ASSERT(bridge_queue_cancelled(world.q) == 0);
    MODEL_ASSERT(bridge_queue_len(world.q) == 0);
}


/* ---- events */

static void
setup_watched(void)
{
    uint64_t  handle;

    world_polled();
    MODEL_ASSERT(bridge_events_take(world.b, world.h, &handle, 1, false) == 0);
}


/* a runtime that answers only what it is told was cancelled */
static void
poll_for_event(void)
{
    uint64_t  handle;

    while (bridge_events_take(world.b, world.h, &handle, 1, false) == 0) {
        MODEL_ASSERT(bridge_poll(world.b, world.h, &handle, 1, -1) == 0);
    }

    MODEL_ASSERT(handle == world.handles[0]);
    MODEL_ASSERT(bridge_task_cancelled(world.b, handle));
    answer();
}


/* two tasks, of which the events may be taken one at a time */
static void
setup_two_watched(void)
{
    uint64_t  handle;

    setup_watched();
    world_push(1);
    MODEL_ASSERT(bridge_poll(world.b, world.h, &handle, 1, 0) == 1);
}


static void
answer_events_in_order(void)
{
    unsigned  n;
    uint64_t  handle;

    for (n = 0; n < 2; n++) {
        while (bridge_events_take(world.b, world.h, &handle, 1, false) == 0) {
            (void) bridge_poll(world.b, world.h, &handle, 1, -1);
        }

        MODEL_ASSERT(handle == world.handles[n]);
        MODEL_ASSERT(bridge_task_answer(world.b, handle, 0, NULL, 0, NULL,
                                        NULL));
    }
}


static void
both_are_back(void)
{
    MODEL_ASSERT(world.back[0] == 1 && world.back[1] == 1);
    MODEL_ASSERT(bridge_queue_cancelled(world.q) == 0);
}


static void
take_events(void)
{
    int       n;
    uint64_t  handle;

    n = bridge_events_take(world.b, world.h, &handle, 1, false);
    MODEL_ASSERT(n == 0 || handle == world.handles[0]);
    world.event += (unsigned) n;
}


static void
cancel_and_release(void)
{
    bridge_task_cancel(world.b, world.tasks[0]);
    world_until_back(1);
    bridge_queue_close(world.q);

    while (!bridge_queue_release(world.q)) {
        model_yield("sweep");
    }
}


static void
told_at_most_once(void)
{
    MODEL_ASSERT(world.event <= 1);
    MODEL_ASSERT(world.b->live_tasks == 0);

    /* tasks, the queue and setup's thread: no event, no cells */
    MODEL_ASSERT(model_blocks() == 3);
}


const model_scenario_t  model_task[] = {
    { "two answers", world_polled,
      { { "host", world_end_one }, { "a", answer }, { "b", answer_by_copy } },
      ended_once_none_left, 1, 0, false },
    { "two answers, the slot is used again", world_polled,
      { { "host", world_end_one_and_reuse }, { "a", answer }, { "b", answer } },
      ended_once_other_untouched, 0, 0, false },
    { "answer and cancel", world_polled,
      { { "host", world_cancel_one }, { "runtime", ask_and_answer } },
      ended_once_none_left, 1, 0, false },
    { "two answers and cancel", world_polled,
      { { "host", world_cancel_one }, { "a", answer }, { "b", answer } },
      ended_once_none_left, 0, 0, false },
    { "two threads take a short request", setup_short_request,
      { { "a", take_request }, { "b", take_request } },
      taken_once, 1, 0, false },
    { "two threads take a long request", setup_long_request,
      { { "a", take_request }, { "b", take_request } },
      taken_once, 1, 0, false },
    { "poll and cancel", setup,
      { { "host", push_cancel_and_drain },
        { "poller", world_serve_and_answer } },
      taken_or_rejected, 1, 0, false },
    { "poll, deadline and cancel", setup,
      { { "host", push_with_deadline },
        { "poller", world_serve_and_answer } },
      taken_or_rejected, 0, 0, false },
    { "a cancel, and its event", setup_watched,
      { { "host", world_cancel_one }, { "runtime", poll_for_event } },
      ended_once_none_left, 1, 0, false },
    { "two cancels, and their events", setup_two_watched,
      { { "host", world_cancel_two }, { "runtime", answer_events_in_order } },
      both_are_back, 1, 0, false },
    { "events, answer and release", setup_watched,
      { { "host", cancel_and_release }, { "a", take_events },
        { "b", answer } },
      told_at_most_once, 0, 0, false },
    { 0 }
};
