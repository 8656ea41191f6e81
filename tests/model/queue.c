/* SPDX-License-Identifier: BSD-2-Clause */

/* Pushes, polls and their wake-ups. */

#include "world.h"


static void
push_one_and_close(void)
{
    world_push(0);
    world_until_taken(1);
    bridge_queue_close(world.q);
}


static void
push_two_and_close(void)
{
    world_push(0);
    world_push(1);
    world_until_taken(2);
    bridge_queue_close(world.q);
}


/* as nginx does: all that came in a turn, then one wake-up */
static void
put_two_wake_and_close(void)
{
    MODEL_ASSERT(bridge_put(world.q, world_task(0)));
    MODEL_ASSERT(bridge_put(world.q, world_task(1)));
    bridge_queue_wake(world.q);
    world_until_taken(2);
    bridge_queue_close(world.q);
}


static void
push_and_close(void)
{
    world_push(0);
    bridge_queue_close(world.q);
}


static void
close_alone(void)
{
    bridge_queue_close(world.q);
}


/* takes what it can within a time, then is gone for good */
static void
poll_a_while(void)
{
    (void) world_poll(world.h, 1, 10, false);
}


static void
poll_twice_a_while(void)
{
    if (world_poll(world.h, 1, 10, false) == 0) {
        (void) world_poll(world.h, 1, 0, false);
    }
}


static void
serve_in_batches(void)
{
    while (world_poll(world.h, 2, -1, false) >= 0) { /* void */ }
}


static void
kick(void)
{
    bridge_kick(world.b, world.h);
}


/* one that is busy with what it has: the other one is to get the other */
static void
take_one_and_wait(void)
{
    MODEL_ASSERT(world_poll(world.h, 1, -1, false) == 1);
    world_until_taken(2);
    world_serve();
}


/* as threads that need a lock to work on a task */
static void
serve_when_told(void)
{
    int  n;

    do {
        n = world_poll(world.h, 1, 0, false);
    } while (n > 0 || (n == 0 && world_poll(world.h, 0, -1, false) == 0));
}


/* the same, and is busy with what it has */
static void
take_one_when_told(void)
{
    do {
        MODEL_ASSERT(world_poll(world.h, 0, -1, false) == 0);
    } while (world_poll(world.h, 1, 0, false) == 0);

    world_until_taken(2);
    serve_when_told();
}


/* nobody has anything to do at the second push */
static void
push_and_push_again(void)
{
    world_push(0);
    world_push(1);
    world_until_taken(2);
    world_push(2);
    world_until_taken(3);
    bridge_queue_close(world.q);
}


static void
put_two_wake_and_close_at_once(void)
{
    MODEL_ASSERT(bridge_put(world.q, world_task(0)));
    MODEL_ASSERT(bridge_put(world.q, world_task(1)));
    bridge_queue_wake(world.q);
    bridge_queue_close(world.q);
}


/* and is busy for ever with what it has not answered */
static void
answer_one_quietly(void)
{
    MODEL_ASSERT(world_poll(world.h, 1, 0, true) == 1);
    MODEL_ASSERT(world_poll(world.h, 1, 0, false) == 1);
}


static void
until_two_are_back(void)
{
    world_until_back(2);
    bridge_queue_close(world.q);
}


static void
look_until_one_is_back(void)
{
    bridge_quiet_end(world.b);
    world_drain();

    if (world.all_back == 0) {
        world_until_back(1);
    }
}


/* each kick ends one poll that sleeps: here the only one */
static void
poll_until_kicked(void)
{
    MODEL_ASSERT(world_poll(world.h, 1, -1, false) == 0);
}


/* a poll ends behind a kick, whatever it returns */
static void
tell_and_kick(void)
{
    world_tell();
    bridge_kick(world.b, world.h);
}


static void
poll_until_told(void)
{
    do {
        (void) world_poll(world.h, 1, -1, false);
    } while (!world_is_told());
}


static void
push_only(void)
{
    world_push(0);
}


static void
kick_and_close_later(void)
{
    bridge_kick(world.b, world.h);
    world_until_told(1);
    bridge_queue_close(world.q);
}


/* the kick ends one of two, and it is enough to end one */
static void
poll_kicked_or_closed(void)
{
    if (world_poll(world.h, 1, -1, false) == 0) {
        world_tell();
    }
}


static void
setup(void)
{
    world_new();
}


/* what waits is quiet; the clock stands still */
static void
setup_quiet(void)
{
    world_new();
    bridge_quiet_begin(world.b);
    atomic_store(&world.q->quiet, 1u << 30);

    world_push(0);
    world_push(1);
}


static void
setup_spin(void)
{
    world_new();
    world.q->spin = 5;
}


static void
each_once(void)
{
    unsigned  n;

    for (n = 0; n < TASKS; n++) {
        MODEL_ASSERT(world.taken[n] == (world.handles[n] != 0));
    }

    MODEL_ASSERT(bridge_queue_len(world.q) == 0);
    MODEL_ASSERT(atomic_load(&world.q->inside) == 0);

    MODEL_ASSERT(world.q->closed && !world.q->armed && !world.q->kicked);
}


static void
each_once_two_ends(void)
{
    each_once();
    MODEL_ASSERT(world.nends == 2);
}


/* a task that nobody waits for in time is in the queue still */
static void
once_or_waits(void)
{
    MODEL_ASSERT(world.taken[0] + bridge_queue_len(world.q) == 1);
}


static void
one_kick(void)
{
    each_once();
    MODEL_ASSERT(world.event == 1 && world.nends == 1);
}


const model_scenario_t  model_queue[] = {
    { "push, one poller", setup,
      { { "host", push_two_and_close }, { "poller", world_serve } },
      each_once, 1, 0, false },
    { "push, two pollers", setup,
      { { "host", push_two_and_close }, { "a", world_serve },
        { "b", world_serve } },
      each_once_two_ends, 0, 3, false },
    { "put two, one wake-up, two pollers", setup,
      { { "host", put_two_wake_and_close }, { "a", world_serve },
        { "b", world_serve } },
      each_once_two_ends, 0, 3, false },
    { "put two, one wake-up, pollers that take both", setup,
      { { "host", put_two_wake_and_close }, { "a", serve_in_batches },
        { "b", serve_in_batches } },
      each_once_two_ends, 0, 3, false },
    { "put two, one wake-up, pollers that take one each", setup,
      { { "host", put_two_wake_and_close }, { "a", take_one_and_wait },
        { "b", take_one_and_wait } },
      each_once_two_ends, 0, 3, false },
    { "put two, pollers that are told first", setup,
      { { "host", put_two_wake_and_close }, { "a", take_one_when_told },
        { "b", take_one_when_told } },
      each_once_two_ends, 0, 2, false },
    { "push and push again, pollers that are told first", setup,
      { { "host", push_and_push_again }, { "a", serve_when_told },
        { "b", serve_when_told } },
      each_once_two_ends, 0, 1, false },
    { "put two and close, pollers that are told first", setup,
      { { "host", put_two_wake_and_close_at_once }, { "a", serve_when_told },
        { "b", serve_when_told } },
      each_once_two_ends, 0, 2, false },
    { "two answers, the first one quiet", setup_quiet,
      { { "host", until_two_are_back }, { "poller", world_serve_and_answer } },
      NULL, 0, 0, false },
    { "a quiet answer, and a host that looks no more", setup_quiet,
      { { "host", look_until_one_is_back },
        { "poller", answer_one_quietly } },
      NULL, 0, 0, false },
    { "push, two pollers, spurious wake-ups", setup,
      { { "host", push_one_and_close }, { "a", world_serve },
        { "b", world_serve } },
      each_once_two_ends, 1, 3, false },
    { "push, a poller that spins", setup_spin,
      { { "host", push_one_and_close }, { "poller", world_serve } },
      each_once, 0, 0, true },
    { "timeout and push", setup,
      { { "host", push_only }, { "poller", poll_twice_a_while } },
      once_or_waits, 1, 0, false },
    { "a poller whose time is up passes a wake-up on", setup,
      { { "host", push_one_and_close }, { "a", poll_a_while },
        { "b", world_serve } },
      each_once, 0, 0, false },
    { "kick", setup,
      { { "kicker", kick }, { "poller", poll_until_kicked } },
      NULL, 0, 0, false },
    { "kick and push", setup,
      { { "kicker", tell_and_kick }, { "host", push_only },
        { "poller", poll_until_told } },
      once_or_waits, 1, 0, false },
    { "kick, two pollers", setup,
      { { "host", kick_and_close_later }, { "a", poll_kicked_or_closed },
        { "b", poll_kicked_or_closed } },
      one_kick, 0, 0, false },
    { "push and close, two pollers", setup,
      { { "host", push_and_close }, { "a", world_serve },
        { "b", world_serve } },
      each_once_two_ends, 0, 0, false },
    { "close, three pollers", setup,
      { { "host", close_alone }, { "a", world_serve }, { "b", world_serve },
        { "c", world_serve } },
      NULL, 0, 3, false },
    { 0 }
};
