/* SPDX-License-Identifier: BSD-2-Clause */

/* Event loops: the eventfd, armed. */

#include "world.h"


/* as the Python loader does: poll, read, arm; until an end */
static void
loop(void)
{
    int  fd, n;

    fd = bridge_queue_fd(world.b, world.h);

    for ( ;; ) {
        n = world_poll(world.h, 1, 0, false);

        if (n < 0) {
            return;
        }

        if (n == 1) {
            continue;
        }

        model_read_fd(fd);

        if (bridge_queue_arm(world.b, world.h)) {
            model_wait_fd(fd);
        }
    }
}


/* one that does not read what it is told by, which stays readable */
static void
loop_until_told(void)
{
    int  fd;

    fd = bridge_queue_fd(world.b, world.h);

    while (!world_is_told()) {
        if (world_poll(world.h, 1, 0, false) == 1) {
            continue;
        }

        model_read_fd(fd);

        if (bridge_queue_arm(world.b, world.h)) {
            model_wait_fd(fd);
        }
    }
}


static void
push_two_and_close(void)
{
    world_push(0);
    world_push(1);
    world_until_taken(2);
    bridge_queue_close(world.q);
}


static void
close_alone(void)
{
    bridge_queue_close(world.q);
}


static void
tell_and_kick(void)
{
    world_tell();
    bridge_kick(world.b, world.h);
}


/* the host's sweep: whenever something may have changed, until it is done */
static void
close_and_release(void)
{
    bridge_queue_close(world.q);

    while (!bridge_queue_release(world.q)) {
        model_yield("sweep");
    }

    MODEL_ASSERT(model_open_fds() == 0);
}


static void
push_close_and_release(void)
{
    world_push(0);
    world_until_taken(1);
    close_and_release();
}


static void
push_and_close(void)
{
    world_push(0);
    world_until_taken(1);
    bridge_queue_close(world.q);
}


static void
setup(void)
{
    world_new();
}


static void
one_end(void)
{
    MODEL_ASSERT(world.nends == 1);
}


static void
two_ends(void)
{
    MODEL_ASSERT(world.nends == 2);
}


const model_scenario_t  model_loop[] = {
    { "loop, push and close", setup,
      { { "host", push_two_and_close }, { "loop", loop } },
      one_end, 1, 0, false },
    { "loop, kick", setup,
      { { "kicker", tell_and_kick }, { "loop", loop_until_told } },
      NULL, 1, 0, false },
    { "loop, close and release", setup,
      { { "host", close_and_release }, { "loop", loop } },
      one_end, 1, 0, false },
    { "a loop and a poller, close", setup,
      { { "host", close_alone }, { "loop", loop }, { "poller", world_serve } },
      two_ends, 0, 0, false },
    { "two loops on one eventfd, close", setup,
      { { "host", close_alone }, { "a", loop }, { "b", loop } },
      two_ends, 0, 3, false },
    { "two loops on one eventfd, push and close", setup,
      { { "host", push_and_close }, { "a", loop }, { "b", loop } },
      two_ends, 0, 2, false },
    { "two loops on one eventfd, close and release", setup,
      { { "host", push_close_and_release }, { "a", loop }, { "b", loop } },
      two_ends, 0, 2, false },
    { 0 }
};
