/* SPDX-License-Identifier: BSD-2-Clause */

/* What comes up to the host, in order. */

#include <string.h>

#include "world.h"


static void
setup(void)
{
    unsigned  n;

    world_new();

    for (n = 0; n < 3; n++) {
        bridge_task_lend(world_task(n));
    }
}


static void
answer(unsigned n)
{
    MODEL_ASSERT(bridge_task_answer(world.b, world.handles[n], 0, NULL, 0,
                                    NULL, NULL));
}


static void
answer_first(void)
{
    answer(0);
}


static void
answer_second(void)
{
    answer(1);
}


static void
answer_third(void)
{
    answer(2);
}


static void
answer_second_and_third(void)
{
    answer(1);
    answer(2);
}


static void
drain_three(void)
{
    world_until_back(3);
}


static void
each_once(void)
{
    MODEL_ASSERT(world.back[0] == 1 && world.back[1] == 1
                 && world.back[2] == 1);
    MODEL_ASSERT(world.b->live_tasks == 0);
    MODEL_ASSERT(bridge_take(world.b) == NULL);
}


/* ---- lines */

static void
setup_lines(void)
{
    world_new();
}


static void
log_two(void)
{
    bridge_log(world.b, 4, "a", 1);
    bridge_log(world.b, 4, "b", 1);
}


static void
log_one(void)
{
    bridge_log(world.b, 4, "c", 1);
}


static void
take_until_three_lines(void)
{
    while (world_drain(), world.nlines < 3) {
        world_until_notified();
    }
}


/* those of one thread stay in order */
static void
three_lines(void)
{
    MODEL_ASSERT(strchr(world.lines, 'c'));
    MODEL_ASSERT(strchr(strchr(world.lines, 'a'), 'b'));
    MODEL_ASSERT(atomic_load(&world.b->nlines) == 0);
}


/* there is place for one line */
static void
setup_full(void)
{
    setup_lines();
    atomic_store(&world.b->nlines, BRIDGE_LOG_MAX - 1);
    world.most_lines = 1;
}


static void
take_a_line_at_least(void)
{
    while (world_drain(), world.nlines == 0) {
        world_until_notified();
    }
}


static void
written_or_lost(void)
{
    world_drain();
    MODEL_ASSERT(world.nlines + bridge_lines_lost(world.b) == 3);
    MODEL_ASSERT(bridge_lines_lost(world.b) == 0);
    MODEL_ASSERT(atomic_load(&world.b->nlines) == BRIDGE_LOG_MAX - 1);
}


/* ---- all kinds */

static void
setup_queued(void)
{
    world_new();
    world_push(0);
    world_push(1);
    world.logs = true;
}


static void
poll_log_answer_and_end(void)
{
    uint64_t  handle;

    MODEL_ASSERT(bridge_poll(world.b, world.h, &handle, 1, 0) == 1);
    bridge_log(world.b, 4, handle == world.handles[0] ? "0" : "1", 1);
    MODEL_ASSERT(bridge_task_answer(world.b, handle, 0, NULL, 0, NULL, NULL));
}


static void
take_until_orphaned(void)
{
    while (world_drain(),
           !bridge_queue_orphaned(world.q) || world.orphans == 0)
    {
        world_until_notified();
    }
}


static void
all_have_come(void)
{
    world_drain();
    MODEL_ASSERT(world.back[0] == 1 && world.back[1] == 1);
    MODEL_ASSERT(world.nlines == 2);
}


const model_scenario_t  model_stack[] = {
    { "answers from three threads", setup,
      { { "host", drain_three }, { "a", answer_first },
        { "b", answer_second }, { "c", answer_third } },
      each_once, 0, 0, false },
    { "answers from two threads", setup,
      { { "host", drain_three }, { "a", answer_first },
        { "b", answer_second_and_third } },
      each_once, 2, 0, false },
    { "lines from two threads", setup_lines,
      { { "host", take_until_three_lines }, { "a", log_two },
        { "b", log_one } },
      three_lines, 1, 0, false },
    { "more lines than may wait", setup_full,
      { { "host", take_a_line_at_least }, { "a", log_two },
        { "b", log_one } },
      written_or_lost, 1, 0, false },
    { "lines, answers and the end of threads", setup_queued,
      { { "host", take_until_orphaned }, { "a", poll_log_answer_and_end },
        { "b", poll_log_answer_and_end } },
      all_have_come, 0, 3, false },
    { 0 }
};
