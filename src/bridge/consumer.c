/* SPDX-License-Identifier: BSD-2-Clause */

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "clock.h"
#include "consumer.h"
#include "eventfd.h"
#include "events.h"
#include "quiet.h"
#include "threads.h"
#include "wake.h"


/*
 * glibc before 2.41 may lose a signal where several threads sleep on one
 * condition (its bug 25847): who is not alone looks again after so many ms.
 * The model checker has no such bug, and -1 here: it looks for ours.
 */
#ifndef BRIDGE_LOOK_MS
#define BRIDGE_LOOK_MS  5000
#endif

/* who takes none leaves tasks so long to those that have taken one */
#define BRIDGE_PATIENCE_US  1000


static inline void
relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__ ("yield");
#endif
}


/* a wake-up costs the host a system call, and the sleeper its CPU's idling */
static void
spin(bridge_queue_t *q)
{
    int      i;
    int64_t  end;

    end = bridge_now_us() + q->spin;

    while (bridge_queue_len(q) == 0 && !atomic_load(&q->closed)
           && bridge_now_us() < end)
    {
        for (i = 0; i < 20; i++) {
            relax();
        }
    }
}


/* lock held; deadline: NULL for none; whether it has passed */
static bool
sleep_until(bridge_queue_t *q, const struct timespec *deadline)
{
    struct timespec  look;

    if (BRIDGE_LOOK_MS > 0 && atomic_load(&q->inside) > 1) {
        look = bridge_deadline_in(BRIDGE_LOOK_MS);

        if (deadline == NULL
            || look.tv_sec < deadline->tv_sec
            || (look.tv_sec == deadline->tv_sec
                && look.tv_nsec < deadline->tv_nsec))
        {
            (void) pthread_cond_timedwait(&q->changed, &q->lock, &look);
            return false;
        }
    }

    if (deadline == NULL) {
        (void) pthread_cond_wait(&q->changed, &q->lock);
        return false;
    }

    return pthread_cond_timedwait(&q->changed, &q->lock, deadline)
           == ETIMEDOUT;
}


/* the same */
static bool
sleep_once(bridge_queue_t *q, const struct timespec *deadline)
{
    bool  late;

    q->sleepers++;
    late = sleep_until(q, deadline);
    q->sleepers--;
    q->called = false;

    return late;
}


/*
 * lock held; whether tasks wait that are not left to others: to a thread that
 * comes, or, by who takes none and has patience, to those that are at work
 */
static bool
has_tasks(const bridge_queue_t *q, int max, bool patient)
{
    if (bridge_queue_len(q) == 0) {
        return false;
    }

    if (max > 0 || atomic_load(&q->closed)) {
        return true;
    }

    return q->coming == 0
           && (!patient || q->eager
               || bridge_queue_threads(q) <= q->sleepers + 1);
}


/*
 * lock held; sleeps as sleep_once; not for long where tasks wait and nobody
 * else does that, which is the end of patience
 */
static bool
nap(bridge_queue_t *q, const struct timespec *deadline, bool *patient)
{
    int64_t          end;
    struct timespec  until;

    if (q->napping || q->coming || bridge_queue_len(q) == 0) {
        *patient = true;
        return sleep_once(q, deadline);
    }

    end = bridge_now_us() + BRIDGE_PATIENCE_US;
    until.tv_sec = (time_t) (end / 1000000);
    until.tv_nsec = (long) (end % 1000000) * 1000;

    q->napping = true;
    (void) sleep_once(q, &until);
    q->napping = false;
    *patient = false;

    return false;
}


/* lock held; sleeps until there is a reason to return; whether it is an end */
static bool
wait_for_tasks(bridge_queue_t *q, int max, int timeout_ms,
    const struct timespec *deadline)
{
    bool  late, patient;

    late = timeout_ms == 0;
    patient = true;

    while (!has_tasks(q, max, patient) && !late) {

        if (atomic_load(&q->closed)) {
            return true;
        }

        if (q->kicked) {
            q->kicked = false;
            return false;
        }

        if (q->first_event
            && atomic_load(&q->watch) == BRIDGE_WATCH_OWN
            && bridge_queue_has_event(q, bridge_threads_id()))
        {
            return false;
        }

        late = nap(q, timeout_ms < 0 ? NULL : deadline, &patient);
    }

    return bridge_queue_len(q) == 0 && atomic_load(&q->closed);
}


/*
 * Takes up to max tasks, as addresses, out of the queue; 0 where none came
 * in time, -1 where the queue is closed and empty.
 */
static int
take(bridge_queue_t *q, uint64_t *tasks, int max, int timeout_ms,
    const struct timespec *deadline)
{
    int   n, tid;
    bool  came, end, more;

    if (timeout_ms != 0 && q->spin) {
        spin(q);
    }

    tid = bridge_threads_id();

    pthread_mutex_lock(&q->lock);

    came = q->coming == tid;

    if (came) {
        q->coming = 0;
        q->eager = max > 0 && bridge_queue_len(q);
    }

    end = wait_for_tasks(q, max, timeout_ms, deadline);

    if (max == 0 && has_tasks(q, max, false)) {
        q->coming = tid;
    }

    n = bridge_queue_pop(q, tasks, max);
    more = bridge_queue_call(q);

    pthread_mutex_unlock(&q->lock);

    /* who was woken and leaves something wakes the next one */

    if (more) {
        pthread_cond_signal(&q->changed);
    }

    return end ? -1 : n;
}


/* of n tasks those that still want an answer, as handles */
static int
hand_out(bridge_t *b, uint64_t *tasks, int n)
{
    int             i, got, tid;
    int64_t         now;
    bridge_task_t  *t;

    got = 0;
    now = bridge_now_us();
    tid = bridge_threads_id();

    for (i = 0; i < n; i++) {
        t = (bridge_task_t *) (uintptr_t) tasks[i];

        t->taken_at = now;

        if (bridge_task_take(b, t, now / 1000, tid, &tasks[got])) {
            got++;
        }
    }

    return got;
}


int
bridge_poll(bridge_t *b, uint64_t queue, uint64_t *handles, int max,
    int timeout_ms)
{
    int              n, got;
    bridge_queue_t  *q;
    struct timespec  deadline;

    q = bridge_queue_pin(b, queue);
    if (q == NULL) {
        return -1;
    }

    bridge_threads_note(b, queue);

    if (timeout_ms > 0) {
        deadline = bridge_deadline_in(timeout_ms);
    }

    bridge_quiet_poll(b, q, timeout_ms);

    do {
        n = take(q, handles, max, timeout_ms, &deadline);
        got = n > 0 ? hand_out(b, handles, n) : n;
    } while (n > 0 && got == 0);

    if (n < 0) {
        bridge_threads_tell(b, queue);

        /* this loop may have read what was written for another one */

        if (atomic_load(&q->has_loop)) {
            bridge_queue_write_fd(q, false);
        }
    }

    bridge_queue_unpin(q);

    return got;
}


int
bridge_queue_fd(bridge_t *b, uint64_t queue)
{
    int              fd, made;
    bridge_queue_t  *q;

    q = bridge_queue_pin(b, queue);
    if (q == NULL) {
        return -1;
    }

    fd = atomic_load(&q->fd);

    if (fd == -1) {
        made = bridge_eventfd();

        if (made != -1 && atomic_compare_exchange_strong(&q->fd, &fd, made)) {
            fd = made;

        } else if (made != -1) {
            (void) close(made);
        }
    }

    if (fd != -1) {
        atomic_store(&q->has_loop, true);
    }

    bridge_queue_unpin(q);

    return fd;
}


bool
bridge_queue_read_fd(bridge_t *b, uint64_t queue)
{
    int              fd;
    bool             good;
    bridge_queue_t  *q;

    q = bridge_queue_pin(b, queue);
    if (q == NULL) {
        return true;
    }

    fd = atomic_load(&q->fd);
    good = fd == -1 || bridge_eventfd_read(fd);

    bridge_queue_unpin(q);

    return good;
}


bool
bridge_queue_arm(bridge_t *b, uint64_t queue)
{
    bool             armed;
    bridge_queue_t  *q;

    q = bridge_queue_pin(b, queue);
    if (q == NULL) {
        return false;
    }

    armed = false;

    pthread_mutex_lock(&q->lock);

    if (bridge_queue_len(q) == 0 && !atomic_load(&q->closed)) {
        armed = !q->kicked;
        q->armed |= armed;
        q->kicked = false;
    }

    pthread_mutex_unlock(&q->lock);
    bridge_queue_unpin(q);

    return armed;
}
