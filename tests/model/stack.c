/* What comes back to the host: answers and lines. */

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
    world_until_done(3);
}


static void
each_once(void)
{
    MODEL_ASSERT(world.done[0] == 1 && world.done[1] == 1
                 && world.done[2] == 1);
    MODEL_ASSERT(world.b->live_tasks == 0);
    MODEL_ASSERT(bridge_done_take(world.b) == NULL);
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


/* the lines of one thread stay in order */
static void
take_three_lines(void)
{
    uint32_t        lost;
    bridge_line_t  *line, *next;

    while (world.all_done < 3) {
        for (line = bridge_log_take(world.b, &lost); line; line = next) {
            MODEL_ASSERT(lost == 0 && line->len == 1);
            MODEL_ASSERT(line->text[0] != 'b' || world.done[0] == 1);
            world.done[line->text[0] - 'a']++;
            world.all_done++;
            next = line->next;
            free(line);
        }

        if (world.all_done < 3) {
            world_until_woken();
        }
    }
}


static void
three_lines(void)
{
    MODEL_ASSERT(world.done[0] == 1 && world.done[1] == 1
                 && world.done[2] == 1);
    MODEL_ASSERT(atomic_load(&world.b->nlines) == 0);
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
      { { "host", take_three_lines }, { "a", log_two }, { "b", log_one } },
      three_lines, 1, 0, false },
    { 0 }
};
