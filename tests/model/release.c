/* SPDX-License-Identifier: BSD-2-Clause */

/* The end of a queue, and its use for another runtime. */

#include "resty_ffi.h"
#include "world.h"


static void
close_release_and_reuse(void)
{
    bridge_queue_close(world.q);

    while (!bridge_queue_release(world.q)) {
        model_yield("sweep");
    }

    world.q2 = bridge_queue_new(world.b, 8);
    MODEL_ASSERT(world.q2 == world.q);
    MODEL_ASSERT(bridge_queue_handle(world.q2) != world.h);
    MODEL_ASSERT(bridge_push(world.q2, world_task(0)));
}


static void
setup(void)
{
    world_new();
}


/* with the handle of the first runtime */
static void
poll_late(void)
{
    MODEL_ASSERT(world_poll(world.h, 1, -1, false) == -1);
}


static void
poll_late_twice(void)
{
    MODEL_ASSERT(world_poll(world.h, 1, 0, false) <= 0);
    (void) world_poll(world.h, 1, 0, false);
}


static void
kick_late(void)
{
    bridge_kick(world.b, world.h);
}


static void
use_late(void)
{
    uint64_t  handle;

    (void) bridge_queue_arm(world.b, world.h);
    MODEL_ASSERT(bridge_events_take(world.b, world.h, &handle, 1, false) == 0);
}


/* nobody has taken the second runtime's task, none of it is pinned */
static void
second_is_untouched(void)
{
    MODEL_ASSERT(world.taken[0] == 0);
    MODEL_ASSERT(bridge_queue_len(world.q2) == 1);
    MODEL_ASSERT(atomic_load(&world.q2->inside) == 0);
    MODEL_ASSERT(bridge_queue_threads(world.q2) == 0);
    MODEL_ASSERT(!world.q2->closed && !world.q2->armed && !world.q2->kicked);
}


/* ---- rejected */

static void
push_two_and_reject(void)
{
    world_push(0);
    world_push(1);
    (void) bridge_queue_reject(world.b, world.q);
    world_until_back(2);
    bridge_queue_close(world.q);
}


static void
taken_or_rejected(void)
{
    MODEL_ASSERT(world.back[0] == 1 && world.back[1] == 1);
    MODEL_ASSERT(bridge_queue_len(world.q) == 0);
    MODEL_ASSERT(world.b->live_tasks == 0);
}


/* ---- the last thread */

static void
poll_and_end(void)
{
    (void) world_poll(world.h, 1, 0, false);
}


/* the host is notified when nobody is left, and not before it is so */
static void
until_orphaned(void)
{
    do {
        world_until_notified();
        world_drain();
    } while (!bridge_queue_orphaned(world.q));

    MODEL_ASSERT(world.orphans);
}


static void
nobody_is_left(void)
{
    MODEL_ASSERT(bridge_queue_orphaned(world.q));
    MODEL_ASSERT(bridge_threads_alive(world.b) == 0);
    MODEL_ASSERT(bridge_queue_threads(world.q) == 0);
}


static void
release_orphaned(void)
{
    until_orphaned();
    bridge_queue_close(world.q);

    while (!bridge_queue_release(world.q)) {
        model_yield("sweep");
    }

    world.q2 = bridge_queue_new(world.b, 8);
}


static void
poll_with_an_eventfd_and_end(void)
{
    MODEL_ASSERT(bridge_queue_fd(world.b, world.h) > 0);
    (void) world_poll(world.h, 1, 0, false);
}


static void
nothing_is_open(void)
{
    MODEL_ASSERT(bridge_threads_alive(world.b) == 0);
    MODEL_ASSERT(bridge_queue_threads(world.q2) == 0);
    MODEL_ASSERT(model_open_fds() == 0);
}


/* ---- starts */

static void
setup_start(void)
{
    world_new();
    bridge_task_lend(world_task(0));
    atomic_store(&world.q->start, world.handles[0]);
}


static void
report_start(void)
{
    resty_ffi_started((void *) (uintptr_t) world.h, 1, "no", 2);
}


static void
take_report_and_release(void)
{
    bridge_task_t  *start;

    /* the host has had enough, or the report is first */

    start = bridge_task_find(world.b, atomic_exchange(&world.q->start, 0));
    if (start) {
        bridge_task_free(world.b, start, false);
        world.released[0]++;

    } else {
        world_until_back(1);
    }

    bridge_queue_close(world.q);

    while (!bridge_queue_release(world.q)) {
        model_yield("sweep");
    }
}


static void
one_report(void)
{
    world_drain();
    MODEL_ASSERT(world.back[0] + world.released[0] == 1);
    MODEL_ASSERT(world.b->live_tasks == 0);
    MODEL_ASSERT(world.nlines == world.released[0]);
}


const model_scenario_t  model_release[] = {
    { "release and reuse, a late poll", setup,
      { { "host", close_release_and_reuse }, { "late", poll_late } },
      second_is_untouched, 1, 0, false },
    { "release and reuse, two late polls", setup,
      { { "host", close_release_and_reuse }, { "a", poll_late_twice },
        { "b", poll_late } },
      second_is_untouched, 0, 3, false },
    { "release and reuse, a late kick and others", setup,
      { { "host", close_release_and_reuse }, { "kicker", kick_late },
        { "late", use_late } },
      second_is_untouched, 0, 3, false },
    { "reject, a poller", setup,
      { { "host", push_two_and_reject },
        { "poller", world_serve_and_answer } },
      taken_or_rejected, 0, 0, false },
    { "reject, two pollers", setup,
      { { "host", push_two_and_reject }, { "a", world_serve_and_answer },
        { "b", world_serve_and_answer } },
      taken_or_rejected, 0, 2, false },
    { "orphaned", setup,
      { { "host", until_orphaned }, { "a", poll_and_end },
        { "b", poll_and_end } },
      nobody_is_left, 0, 3, false },
    { "orphaned, release and reuse", setup,
      { { "host", release_orphaned },
        { "a", poll_with_an_eventfd_and_end } },
      nothing_is_open, 1, 0, false },
    { "started, release", setup_start,
      { { "host", take_report_and_release }, { "runtime", report_start } },
      one_report, 1, 0, false },
    { 0 }
};
