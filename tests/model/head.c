/* SPDX-License-Identifier: BSD-2-Clause */

/* Heads of answers to web requests: who sends one, and what comes first. */

#include <errno.h>
#include <stdlib.h>

#include "world.h"

#include "head.h"


/* of tasks, the queue, its cells and setup's thread */
#define BLOCKS  4

static MODEL_STATE unsigned  heads[MODEL_FIBERS];   /* that have been taken */
static MODEL_STATE unsigned  sent[MODEL_FIBERS];    /* parts */


/* whose request is its head */
static bridge_task_t *
web_task(unsigned n)
{
    char           *head;
    bridge_task_t  *t;

    head = calloc(1, 1);
    MODEL_ASSERT(head != NULL);

    t = bridge_task_new_web(world.b, head, 0);
    MODEL_ASSERT(t != NULL);

    bridge_stream_open(t, 0, false);
    t->data = &world.tasks[n];
    world.tasks[n] = t;
    world.handles[n] = bridge_task_handle(t);

    return t;
}


static void
setup(void)
{
    uint64_t  handle;

    world_new();
    MODEL_ASSERT(bridge_push(world.q, web_task(0)));
    MODEL_ASSERT(bridge_poll(world.b, world.h, &handle, 1, 0) == 1);
    MODEL_ASSERT(handle == world.handles[0]);
}


/* ---- what a runtime does */

/* its status says which fiber has sent it */
static int
send_head(void)
{
    int                  rc;
    resty_ffi_header_t   header = { "A", 1, "b", 1 };

    rc = bridge_head_send(world.b, world.handles[0],
                          200 + (int) model_self(), &header, 1);
    heads[model_self()] += rc == 0;

    return rc;
}


static int
send_part(void)
{
    int  rc;

    rc = bridge_stream_send(world.b, world.handles[0], "x", 1, false,
                            world_released, &world.released[0]);
    sent[model_self()] += rc == 0;

    return rc;
}


static void
answer(void)
{
    if (bridge_task_answer(world.b, world.handles[0], 0, "x", 1,
                           world_released, &world.released[1]))
    {
        model_access(&world.answers, true, "answered", __func__, __LINE__);
        world.answers++;
    }
}


/* nothing is sent behind what ends the task */
static void
send_in_order(void)
{
    int  rc;

    MODEL_ASSERT(send_part() != 0);
    rc = send_head();
    MODEL_ASSERT(rc == 0 || rc == EPIPE);
    MODEL_ASSERT((send_part() == 0) <= (rc == 0));
    MODEL_ASSERT(send_head() != 0);
}


static void
send_all(void)
{
    MODEL_ASSERT(send_part() == EINVAL);
    MODEL_ASSERT(send_head() == 0);
    MODEL_ASSERT(send_head() == EINVAL);
    MODEL_ASSERT(send_part() == 0);
    answer();
}


/* the other one may have sent it, or have ended all */
static void
send_head_and_answer(void)
{
    int  rc;

    rc = send_head();

    if (rc == 0) {
        MODEL_ASSERT(send_part() == 0);
        answer();
        return;
    }

    MODEL_ASSERT(rc == EINVAL || rc == EPIPE);
}


static void
send_head_and_part(void)
{
    int  rc;

    rc = send_head();
    MODEL_ASSERT(rc == 0 || rc == EINVAL || rc == EPIPE);
    rc = send_part();
    MODEL_ASSERT(rc == 0 || rc == EPIPE);
}


/* before the head, or behind it */
static void
send_part_at_any_time(void)
{
    int  rc;

    rc = send_part();
    MODEL_ASSERT(rc == 0 || rc == EINVAL || rc == EPIPE);
}


static void
send_until_gone(void)
{
    int  rc;

    rc = send_head();
    MODEL_ASSERT(rc == 0 || rc == EPIPE);

    if (rc == EPIPE) {
        MODEL_ASSERT(send_head() == EPIPE && send_part() == EPIPE);
        MODEL_ASSERT(bridge_task_cancelled(world.b, world.handles[0]));
    } else {
        rc = send_part();
        MODEL_ASSERT(rc == 0 || rc == EPIPE);
    }

    answer();
}


static void
send_a_late_head(void)
{
    int  rc;

    rc = send_head();
    MODEL_ASSERT(rc == 0 || rc == EPIPE);
}


/* ---- what the host does */

static void
end_and_reuse(void)
{
    world_until_back(1);
    bridge_task_lend(web_task(1));
    MODEL_ASSERT(world.tasks[0] == world.tasks[1]);
}


/* ---- what all come to */

static unsigned
sum(const unsigned *of_fibers)
{
    unsigned  i, all;

    for (i = 0, all = 0; i < MODEL_FIBERS; i++) {
        all += of_fibers[i];
    }

    return all;
}


static void
all_came_up(void)
{
    MODEL_ASSERT(world.heads[0] == sum(heads) && world.heads[0] <= 1);
    MODEL_ASSERT(world.heads[0] == 0 || heads[world.status - 200] == 1);
    MODEL_ASSERT(world.parts[0] == sum(sent));
    MODEL_ASSERT(world.parts[0] == 0 || world.heads[0]);
    MODEL_ASSERT(world.released[0] == world.parts[0]);
    MODEL_ASSERT(world.released[1] == 1);
    MODEL_ASSERT(world.answers == 1 && world.back[0] == 1);
}


static void
nothing_is_left(void)
{
    all_came_up();
    MODEL_ASSERT(world.b->live_tasks == 0);
    MODEL_ASSERT(model_blocks() == BLOCKS);
}


static void
one_head(void)
{
    nothing_is_left();
    MODEL_ASSERT(world.heads[0] == 1);
}


/* as it was made: a part is refused, and a head is taken */
static void
other_has_no_head(void)
{
    all_came_up();
    MODEL_ASSERT(world.b->live_tasks == 1 && world.heads[1] == 0);
    MODEL_ASSERT(world.tasks[1]->stream.headless);
    MODEL_ASSERT(model_blocks() == BLOCKS + 1);
}


static void
other_needs_no_head(void)
{
    all_came_up();
    MODEL_ASSERT(world.b->live_tasks == 1 && world.heads[1] == 0);
    MODEL_ASSERT(!world.tasks[1]->stream.headless);
    MODEL_ASSERT(model_blocks() == BLOCKS);
}


const model_scenario_t  model_head[] = {
    { "a head and a part, and an answer", setup,
      { { "host", world_end_one }, { "a", send_in_order }, { "b", answer } },
      nothing_is_left, 0, 0, false },
    { "a head, a part and the answer", setup,
      { { "host", world_end_one }, { "runtime", send_all } },
      one_head, 1, 0, false },
    { "two threads send a head", setup,
      { { "host", world_end_one }, { "a", send_head_and_answer },
        { "b", send_head_and_answer } },
      one_head, 0, 0, false },
    { "two threads send a head, and an answer", setup,
      { { "host", world_end_one }, { "a", send_head_and_part },
        { "b", send_head_and_part }, { "c", answer } },
      nothing_is_left, 0, 2, false },
    { "a head, and a part of another thread", setup,
      { { "host", world_end_one }, { "a", send_head_and_answer },
        { "b", send_part_at_any_time } },
      one_head, 0, 0, false },
    { "a head and cancel", setup,
      { { "host", world_cancel_one }, { "runtime", send_until_gone } },
      nothing_is_left, 1, 0, false },
    { "a head, cancel and an answer", setup,
      { { "host", world_cancel_one }, { "a", send_head_and_part },
        { "b", answer } },
      nothing_is_left, 0, 3, false },
    { "a late head, the slot is used by a web request", setup,
      { { "host", end_and_reuse }, { "a", send_a_late_head },
        { "b", answer } },
      other_has_no_head, 0, 0, false },
    { "a late head, the slot is used by a call", setup,
      { { "host", world_end_one_and_reuse }, { "a", send_a_late_head },
        { "b", answer } },
      other_needs_no_head, 0, 0, false },
    { 0 }
};
