/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Round trips through the bridge alone: put, poll, answer, drain, with an
 * eventfd and one wake-up a turn as nginx has them.
 *
 *     bridge [seconds of each run]
 */

#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "answer.h"
#include "consumer.h"
#include "end.h"
#include "queue.h"
#include "task.h"
#include "threads.h"
#include "wake.h"


#define MAX_CONSUMERS  3
#define MAX_BATCH      64


typedef struct {
    unsigned  consumers;
    int       batch;
    uint32_t  in_flight;
} run_t;


static bridge_t  bridge;
static uint64_t  queue;
static int       fd;


static void
notify(void *arg)
{
    uint64_t  one;

    (void) arg;
    one = 1;

    if (write(fd, &one, sizeof(one)) != sizeof(one)) {
        abort();
    }
}


static void *
consume(void *arg)
{
    int       i, n, max;
    uint64_t  tasks[MAX_BATCH];

    max = *(int *) arg;

    while ((n = bridge_poll(&bridge, queue, tasks, max, -1)) >= 0) {
        for (i = 0; i < n; i++) {
            (void) bridge_task_answer(&bridge, tasks[i], 0, NULL, 0, NULL,
                                      NULL);
        }
    }

    return NULL;
}


static void
put(bridge_queue_t *q)
{
    bridge_task_t  *t;

    t = bridge_task_new(&bridge, "hello", 5, NULL, 0);

    if (t == NULL || !bridge_put(q, t)) {
        abort();
    }
}


static double
now(clockid_t clock)
{
    struct timespec  ts;

    clock_gettime(clock, &ts);

    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}


static long
switches(void)
{
    struct rusage  u;

    getrusage(RUSAGE_SELF, &u);

    return u.ru_nvcsw;
}


static void
wait_for_answers(void)
{
    uint64_t       n;
    struct pollfd  pfd = { .fd = fd, .events = POLLIN };

    if (poll(&pfd, 1, -1) != 1 || read(fd, &n, sizeof(n)) != sizeof(n)) {
        abort();
    }
}


static uint64_t
turn(bridge_queue_t *q, double until)
{
    uint64_t        n;
    bridge_node_t  *answer, *next;

    n = 0;

    while (now(CLOCK_MONOTONIC) < until) {
        wait_for_answers();

        for (answer = bridge_take(&bridge); answer; answer = next) {
            next = answer->next;
            bridge_task_free(&bridge, (bridge_task_t *) answer, true);
            put(q);
            n++;
        }

        bridge_queue_wake(q);
    }

    return n;
}


static void
measure(run_t *r, double seconds)
{
    long             asleep;
    double           start, cpu, took;
    uint32_t         i;
    uint64_t         n;
    pthread_t        threads[MAX_CONSUMERS];
    bridge_node_t   *up, *next;
    bridge_queue_t  *q;

    q = bridge_queue_new(&bridge, 65536);
    if (q == NULL) {
        abort();
    }

    queue = bridge_queue_handle(q);

    for (i = 0; i < r->consumers; i++) {
        if (pthread_create(&threads[i], NULL, consume, &r->batch) != 0) {
            abort();
        }
    }

    start = now(CLOCK_MONOTONIC);
    cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    asleep = switches();

    for (i = 0; i < r->in_flight; i++) {
        put(q);
    }

    bridge_queue_wake(q);
    n = turn(q, start + seconds);

    took = now(CLOCK_MONOTONIC) - start;
    cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    asleep = switches() - asleep;

    printf("%9u %5d %9u %12.0f %12.2f %12.3f\n", r->consumers, r->batch,
           r->in_flight, (double) n / took, cpu * 1e6 / (double) n,
           (double) asleep / (double) n);

    bridge_queue_close(q);

    for (i = 0; i < r->consumers; i++) {
        pthread_join(threads[i], NULL);
    }

    for (up = bridge_take(&bridge); up; up = next) {
        next = up->next;

        if (up->kind == BRIDGE_NODE_ANSWER) {
            bridge_task_free(&bridge, (bridge_task_t *) up, false);

        } else {
            (void) bridge_threads_ended(up);
        }
    }

    if (bridge.live_tasks || !bridge_queue_release(q)) {
        abort();
    }
}


int
main(int argc, char **argv)
{
    size_t  i;
    double  seconds;
    run_t   runs[] = {
        { 1, 1, 1 }, { 3, 1, 1 }, { 1, 1, 64 }, { 3, 1, 64 },
        { 1, 64, 64 }, { 3, 64, 64 }, { 1, 64, 1000 }, { 3, 64, 1000 }
    };

    seconds = argc > 1 ? atof(argv[1]) : 1;
    fd = eventfd(0, EFD_CLOEXEC);
    bridge_init(&bridge, notify, NULL);

    printf("%9s %5s %9s %12s %12s %12s\n", "consumers", "batch", "in flight",
           "trips/s", "cpu us/trip", "sleeps/trip");

    for (i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
        measure(&runs[i], seconds);
    }

    return 0;
}
