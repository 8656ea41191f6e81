/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A runtime that does what it likes with handles, beside a host that behaves:
 * the input is a program of operations of both, on one thread.  The model
 * says what each must come to.
 */

#include <pthread.h>

#include "program.h"

#include "abi.h"


static void
notify(void *arg)
{
    (void) arg;
}


const char *__asan_default_options(void);

/* a length that no memory has is to give NULL, as without the sanitizer */
const char *
__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}


static void
step_of_web(unsigned n)
{
    switch (n % 4) {

    case 0:
        push_web();
        break;

    case 1:
        look_at_head();
        break;

    default:
        send_head();
    }
}


static void
step(void)
{
    queue_t   *q;
    unsigned   n;

    n = byte();

    /* seeds are older than these */

    if (n >= 240) {
        step_of_web(n);
        return;
    }

    switch (n % 24) {

    case 0:
        new_queue();
        break;

    case 1:
    case 2:
        push();
        break;

    case 3:
        cancel();
        break;

    case 4:
        (void) drain();
        break;

    case 5:
        q = any_queue();
        if (q) {
            switch (below(4)) {
            case 0:
                close_queue(q);
                break;
            case 1:
                reject_all(q);
                break;
            case 2:
                bridge_queue_detach(q->queue);
                q->detached = true;
                break;
            default:
                release_queue(q);
                break;
            }
        }
        break;

    case 6:
        poll_batch();
        break;

    case 7:
        look();
        break;

    case 8:
        respond();
        break;

    case 9:
        respond_ref();
        break;

    case 10:
        respond_copy();
        break;

    case 11:
        poll_events();
        break;

    case 12:
        event_loop();
        break;

    case 13:
        task_poll();
        break;

    case 14:
        say();
        break;

    case 15:
    case 16:
        send_part();
        break;

    case 17:
        send_copy();
        break;

    case 18:
        read_part();
        break;

    case 19:
        ask();
        break;

    case 20:
        give_back();
        break;

    case 21:
        write_part();
        break;

    case 22:
        finish_parts();
        break;

    default:
        switch (below(4)) {
        case 0:
            start();
            break;
        case 1:
            poll_elsewhere();
            break;
        default:
            started();
        }
    }
}


/* as a worker leaves: everything is given back */
static void
finish(void)
{
    int      i;
    queue_t *q;

    for (i = 0; i < m->nqueues; i++) {
        q = &m->queues[i];

        if (q->live) {
            close_queue(q);
            reject_all(q);
            bridge_queue_detach(q->queue);
            q->detached = true;
        }
    }

    for (i = 0; i < m->ntasks; i++) {
        if (m->tasks[i].state == POLLED) {
            ngx_http_lua_ffi_respond(pointer(m->tasks[i].handle), 0, NULL, 0);
            answered(&m->tasks[i], 0, NULL, 0);
        }
    }

    (void) drain();
    give_all_back();

    for (i = 0; i < m->nqueues; i++) {
        if (m->queues[i].live) {
            release_queue(&m->queues[i]);
            require(!m->queues[i].live);
        }
    }

    require(b->live_tasks == 0);
}


/* on a thread of its own, so that the polls of an input end with it */
static void *
run(void *arg)
{
    (void) arg;

    while (in.p < in.end) {
        step();
        model_compare(m, b);
    }

    finish();

    return NULL;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static model_t  model;

    pthread_t  thread;

    if (b == NULL) {
        bridge_host_init(notify, NULL);
        b = bridge_host();
    }

    m = &model;
    m->ntasks = 0;
    m->nqueues = 0;
    m->nparts = 0;
    m->nup = 0;

    in = (input_t) { data, data + size };

    require(pthread_create(&thread, NULL, run, NULL) == 0);
    require(pthread_join(thread, NULL) == 0);

    return 0;
}
