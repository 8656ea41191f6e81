/* SPDX-License-Identifier: BSD-2-Clause */

#include "world.h"

#include "head.h"


MODEL_STATE world_t  world;


static void
notify(void *arg)
{
    (void) arg;

    model_access(&world.notified, true, "notify", __func__, __LINE__);
    world.notified++;
    model_ready(&world.notified, INT32_MAX);
}


void
world_new(void)
{
    world.b = bridge_host();
    bridge_init(world.b, notify, NULL);
    world.q = bridge_queue_new(world.b, 8);
    world.h = bridge_queue_handle(world.q);
}


bridge_task_t *
world_task(unsigned n)
{
    bridge_task_t  *t;

    t = bridge_task_new(world.b, NULL, 0, NULL, 0);
    MODEL_ASSERT(t != NULL);

    t->data = &world.tasks[n];
    world.tasks[n] = t;
    world.handles[n] = bridge_task_handle(t);

    return t;
}


void
world_push(unsigned n)
{
    MODEL_ASSERT(bridge_push(world.q, world_task(n)));
}


static unsigned
number_of(uint64_t handle)
{
    unsigned  n;

    for (n = 0; n < TASKS && world.handles[n] != handle; n++) { /* void */ }

    MODEL_ASSERT(n < TASKS);

    return n;
}


int
world_poll(uint64_t queue, unsigned max, int timeout_ms, bool answers)
{
    int       i, n;
    uint64_t  handles[TASKS];

    n = bridge_poll(world.b, queue, handles, (int) max, timeout_ms);

    MODEL_ASSERT(n >= -1 && n <= (int) max);

    for (i = 0; i < n; i++) {
        world.taken[number_of(handles[i])]++;

        if (answers) {
            MODEL_ASSERT(bridge_task_answer(world.b, handles[i], 0, NULL, 0,
                                            NULL, NULL));
        }
    }

    if (n > 0) {
        model_access(&world.all_taken, true, "took", __func__, __LINE__);
        world.all_taken += (unsigned) n;
        model_ready(&world.all_taken, INT32_MAX);
    }

    if (n < 0) {
        world.ends[model_self()]++;
        world.nends++;
    }

    return n;
}


void
world_serve(void)
{
    while (world_poll(world.h, 1, -1, false) >= 0) { /* void */ }
}


void
world_serve_and_answer(void)
{
    while (world_poll(world.h, 1, -1, true) >= 0) { /* void */ }
}


static void
until(const unsigned *count, unsigned n)
{
    model_access(count, false, "wait", __func__, __LINE__);

    while (*count < n) {
        (void) model_sleep(count, -1, "goes on");
    }
}


void
world_until_taken(unsigned n)
{
    until(&world.all_taken, n);
}


static void
take_answer(bridge_task_t *t)
{
    unsigned  n;

    n = number_of(bridge_task_handle(t));
    MODEL_ASSERT(t == world.tasks[n]);
    MODEL_ASSERT(!world.logs || strchr(world.lines, '0' + (int) n));
    world.back[n]++;
    world.all_back++;
    bridge_task_free(world.b, t, !t->rejected);
}


static void
take_line(bridge_line_t *line)
{
    MODEL_ASSERT(line->len >= 1 && world.nlines < TASKS);
    world.lines[world.nlines++] = line->text[0];
    bridge_line_free(world.b, line);
}


/* before all parts, and the answer */
static void
take_head(bridge_head_t *h)
{
    unsigned  n;

    n = number_of(h->task);
    MODEL_ASSERT(bridge_task_find(world.b, h->task) == world.tasks[n]);
    MODEL_ASSERT(world.parts[n] == 0 && world.back[n] == 0);
    MODEL_ASSERT(h->nfields == 1 && strcmp(h->fields[0].lower, "a") == 0
                 && strcmp(h->fields[0].value, "b") == 0);
    world.heads[n]++;
    world.status = h->status;
    bridge_head_free(h);
}


/* never behind the answer */
static void
take_part(bridge_part_t *p)
{
    unsigned  n;

    n = number_of(p->task);
    MODEL_ASSERT(bridge_task_find(world.b, p->task) == world.tasks[n]);
    MODEL_ASSERT(world.back[n] == 0);
    world.parts[n]++;
    bridge_part_free(world.b, p, true);
}


static void
take_room(bridge_node_t *n)
{
    MODEL_ASSERT(n == &world.tasks[0]->stream.room);
    MODEL_ASSERT(world.tasks[0]->stream.room_up && world.back[0] == 0);
    MODEL_ASSERT(bridge_stream_of_room(n) == world.tasks[0]);
    world.rooms++;
}


void
world_drain(void)
{
    unsigned        before;
    bridge_node_t  *n, *next;

    before = world.nlines;

    for (n = bridge_take(world.b); n; n = next) {
        next = n->next;

        if (n->kind == BRIDGE_NODE_ANSWER) {
            take_answer((bridge_task_t *) n);

        } else if (n->kind == BRIDGE_NODE_LINE) {
            take_line((bridge_line_t *) n);

        } else if (n->kind == BRIDGE_NODE_HEAD) {
            take_head((bridge_head_t *) n);

        } else if (n->kind == BRIDGE_NODE_PART) {
            take_part((bridge_part_t *) n);

        } else if (n->kind == BRIDGE_NODE_ROOM) {
            take_room(n);

        } else {
            MODEL_ASSERT(bridge_threads_ended(n) == world.q);
            MODEL_ASSERT(!world.logs || world.all_back);
            world.orphans++;
        }
    }

    if (world.put_off) {
        world.put_off = false;
        bridge_queue_wake(world.q);
    }

    MODEL_ASSERT(!world.most_lines
                 || world.nlines - before <= world.most_lines);
}


void
world_until_back(unsigned n)
{
    for ( ;; ) {
        world_drain();

        if (world.all_back >= n) {
            return;
        }

        world_until_notified();
    }
}



void
world_polled(void)
{
    uint64_t  handle;

    world_new();
    world_push(0);
    MODEL_ASSERT(bridge_poll(world.b, world.h, &handle, 1, 0) == 1);
    MODEL_ASSERT(handle == world.handles[0]);
}


void
world_released(void *arg, int delivered)
{
    (void) delivered;
    (*(unsigned *) arg)++;
}


void
world_end_one(void)
{
    world_until_back(1);
}


void
world_end_two(void)
{
    world_until_back(2);
}


void
world_end_one_and_reuse(void)
{
    world_until_back(1);
    bridge_task_lend(world_task(1));
    MODEL_ASSERT(world.tasks[0] == world.tasks[1]);
}


void
world_cancel_one(void)
{
    bridge_task_cancel(world.b, world.tasks[0]);
    world_until_back(1);
}


void
world_cancel_two(void)
{
    bridge_task_cancel(world.b, world.tasks[0]);
    bridge_task_cancel(world.b, world.tasks[1]);
    world_until_back(2);
}

void
world_until_notified(void)
{
    until(&world.notified, 1);
    world.notified = 0;
}


void
world_tell(void)
{
    model_access(&world.event, true, "tell", __func__, __LINE__);
    world.event++;
    model_ready(&world.event, INT32_MAX);
}


void
world_until_told(unsigned n)
{
    until(&world.event, n);
}


bool
world_is_told(void)
{
    model_access(&world.event, false, "is told", __func__, __LINE__);

    return world.event;
}
