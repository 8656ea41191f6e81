#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "answer.h"
#include "eventfd.h"
#include "handle.h"
#include "threads.h"
#include "word.h"


static void
futex_wake(_Atomic uint32_t *word, int n)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}


static void
futex_wait(_Atomic uint32_t *word, uint32_t seen, const struct timespec *ts)
{
    /* every way it can return is treated alike: look at the word again */
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, ts, NULL, 0);
}


static void
write_fd(bridge_queue_t *q, bool host)
{
    (void) bridge_eventfd_write(host && q->close_fd ? q->host_fd
                                                    : atomic_load(&q->fd));
}


void
bridge_word_announce(bridge_queue_t *q, uint32_t w, int n, bool host)
{
    if (w & ARMED) {
        write_fd(q, host);
    }

    if ((w & SLEEPERS) && (n > 1 || !(w & WOKEN))) {
        futex_wake(&q->word, n);
    }
}


static int64_t
now_us(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


static void
pop(bridge_t *b, bridge_queue_t *q, uint32_t n, uint64_t *handles, int *got)
{
    int64_t         now;
    uint32_t        i;
    bridge_task_t  *t;

    now = now_us() / 1000;

    i = atomic_fetch_add_explicit(&q->head, n, memory_order_acq_rel);

    for ( /* void */ ; n; n--, i++) {
        t = atomic_exchange_explicit(&q->cells[i & q->mask], NULL,
                                     memory_order_acq_rel);

        if (bridge_task_take(b, t, now, &handles[*got])) {
            (*got)++;
        }
    }
}


uint32_t
bridge_queue_reject(bridge_t *b, bridge_queue_t *q)
{
    int             n;
    uint32_t        w, dropped;
    uint64_t        handle;
    bridge_task_t  *t;

    for (dropped = 0; /* void */ ; dropped++) {
        w = atomic_load_explicit(&q->word, memory_order_relaxed);

        do {
            if (w < WAITING) {
                return dropped;
            }
        } while (!atomic_compare_exchange_weak_explicit(&q->word, &w,
                                                        w - WAITING,
                                                        memory_order_acquire,
                                                        memory_order_relaxed));

        n = 0;
        pop(b, q, 1, &handle, &n);

        if (n) {
            t = bridge_task_find(b, handle);
            t->rejected = true;
            (void) bridge_task_answer(b, handle, 0, NULL, 0, NULL, NULL);
        }
    }
}


static void
deadline_in(struct timespec *ts, int ms)
{
    clock_gettime(CLOCK_MONOTONIC, ts);

    ts->tv_sec += ms / 1000;
    ts->tv_nsec += (long) (ms % 1000) * 1000000;

    if (ts->tv_nsec >= 1000000000) {
        ts->tv_sec++;
        ts->tv_nsec -= 1000000000;
    }
}


static bool
time_left(const struct timespec *deadline, struct timespec *left)
{
    clock_gettime(CLOCK_MONOTONIC, left);

    left->tv_sec = deadline->tv_sec - left->tv_sec;
    left->tv_nsec = deadline->tv_nsec - left->tv_nsec;

    if (left->tv_nsec < 0) {
        left->tv_sec--;
        left->tv_nsec += 1000000000;
    }

    return left->tv_sec >= 0;
}


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
static uint32_t
spin(bridge_queue_t *q)
{
    int       i;
    int64_t   end;
    uint32_t  w;

    end = q->spin ? now_us() + q->spin : 0;

    for ( ;; ) {
        w = atomic_load_explicit(&q->word, memory_order_relaxed);

        if (w >= WAITING || (w & CLOSED) || q->spin == 0 || now_us() >= end) {
            return w;
        }

        for (i = 0; i < 20; i++) {
            relax();
        }
    }
}


/*
 * Takes up to max units from the word; 0 where none came in time, -1 where
 * the queue is closed and empty.  timeout_ms > 0: until deadline.
 */
static int
acquire(bridge_queue_t *q, uint32_t max, int timeout_ms,
    const struct timespec *deadline)
{
    bool             counted, last;
    uint32_t         w, want, n;
    struct timespec  left;

    counted = false;
    last = timeout_ms == 0;

    w = last ? atomic_load_explicit(&q->word, memory_order_relaxed) : spin(q);

    for ( ;; ) {
        n = w / WAITING;
        n = n < max ? n : max;
        want = w - n * WAITING;

        if (n == 0 && !last && atomic_load(&q->kicked)
            && atomic_exchange(&q->kicked, false))
        {
            last = true;
        }

        if (counted) {
            want = (want - SLEEPER) & ~WOKEN;
        }

        if (n || (w & CLOSED) || last) {

            /* more than we take: pass the wake-up on */

            if (want >= WAITING && (want & SLEEPERS)) {
                want |= WOKEN;
            }

            if (!atomic_compare_exchange_weak_explicit(&q->word, &w, want,
                                                       memory_order_acquire,
                                                       memory_order_relaxed))
            {
                continue;
            }

            if ((want & WOKEN) && (counted || !(w & WOKEN))) {
                futex_wake(&q->word, 1);
            }

            return n || !(w & CLOSED) ? (int) n : -1;
        }

        if ((w & SLEEPERS) == SLEEPERS && !counted) {
            last = timeout_ms > 0 && !time_left(deadline, &left);
            usleep(1000);
            w = atomic_load_explicit(&q->word, memory_order_relaxed);
            continue;
        }

        /*
         * What is slept on never has WOKEN, so that whoever is about to
         * sleep while it is set looks again.
         */
        want = (counted ? w : w + SLEEPER) & ~WOKEN;

        if (!atomic_compare_exchange_weak_explicit(&q->word, &w, want,
                                                   memory_order_acquire,
                                                   memory_order_relaxed))
        {
            continue;
        }

        counted = true;

        /* by one who did not see this sleeper in the word, perhaps */

        if (atomic_load(&q->kicked)) {
            w = atomic_load_explicit(&q->word, memory_order_relaxed);
            continue;
        }

        if (timeout_ms < 0) {
            futex_wait(&q->word, want, NULL);

        } else if (time_left(deadline, &left)) {
            futex_wait(&q->word, want, &left);

        } else {
            last = true;
        }

        w = atomic_load_explicit(&q->word, memory_order_relaxed);
    }
}


int
bridge_poll(bridge_t *b, uint64_t queue, uint64_t *handles, int max,
    int timeout_ms)
{
    int              n, got;
    bridge_queue_t  *q;
    struct timespec  deadline;

    if (atomic_load_explicit(&b->dead, memory_order_relaxed)) {
        return -1;
    }

    q = bridge_queue_pin(b, queue);
    if (q == NULL) {
        return -1;
    }

    bridge_threads_note(b, queue);

    if (timeout_ms > 0) {
        deadline_in(&deadline, timeout_ms);
    }

    do {
        n = acquire(q, (uint32_t) max, timeout_ms, &deadline);
        got = n < 0 ? -1 : 0;

        if (n > 0) {
            pop(b, q, (uint32_t) n, handles, &got);

        } else if (n < 0) {
            bridge_threads_tell(b, queue);

            /* this loop may have read what was written for another one */

            if (atomic_load(&q->has_loop)) {
                write_fd(q, false);
            }
        }

    } while (n > 0 && got == 0);

    bridge_queue_unpin(q);

    return got;
}


void
bridge_kick(bridge_t *b, uint64_t queue)
{
    bool             host;
    uint32_t         w, want;
    bridge_queue_t  *q;

    q = bridge_queue_pin(b, queue);
    if (q == NULL) {
        return;
    }

    atomic_store(&q->kicked, true);

    w = atomic_load(&q->word);

    do {
        want = w & ~ARMED;
        if (w & SLEEPERS) {
            want |= WOKEN;
        }
    } while (!atomic_compare_exchange_weak(&q->word, &w, want));

    host = pthread_equal(pthread_self(), b->host);

    if (!(w & ARMED) && atomic_load(&q->has_loop)) {
        write_fd(q, host);
    }

    bridge_word_announce(q, w, 1, host);
    bridge_queue_unpin(q);
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
    uint32_t         w;
    bridge_queue_t  *q;

    q = bridge_queue_pin(b, queue);
    if (q == NULL) {
        return false;
    }

    w = atomic_load(&q->word);

    do {
        armed = w < WAITING && !(w & CLOSED);
    } while (armed && !atomic_compare_exchange_weak(&q->word, &w, w | ARMED));

    if (armed && atomic_exchange(&q->kicked, false)) {
        armed = false;
    }

    bridge_queue_unpin(q);

    return armed;
}
