/*
 * Who is woken when: this program has a futex of its own, so that a test
 * decides which thread goes on next, between any two steps.
 */

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "unit.h"


#define NTHREADS  3

typedef enum {
    RUNS,
    BEFORE_WAIT,        /* about to compare the word and to sleep */
    SLEEPS,
    WOKEN_UP            /* but has not looked at the word again */
} place_e;

typedef struct {
    place_e    place;
    bool       held;    /* stops where it is going to sleep or has slept */
    pthread_t  thread;
    int        got;
    bool       done;
} poller_t;


static pthread_mutex_t  lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t   changed = PTHREAD_COND_INITIALIZER;
static poller_t         pollers[NTHREADS];
static int              wake_calls;

static _Thread_local poller_t  *self;

static bridge_t        *b;
static bridge_queue_t  *q;


static void
stay(place_e place)
{
    self->place = place;
    pthread_cond_broadcast(&changed);

    while (self->held) {
        pthread_cond_wait(&changed, &lock);
    }
}


static long
futex_wait(_Atomic uint32_t *word, uint32_t seen)
{
    stay(BEFORE_WAIT);

    if (atomic_load(word) != seen) {
        self->place = RUNS;
        errno = EAGAIN;
        return -1;
    }

    self->place = SLEEPS;
    pthread_cond_broadcast(&changed);

    while (self->place == SLEEPS) {
        pthread_cond_wait(&changed, &lock);
    }

    stay(WOKEN_UP);
    self->place = RUNS;

    return 0;
}


static long
futex_wake(int n)
{
    int  i, woken;

    wake_calls++;
    woken = 0;

    for (i = 0; i < NTHREADS && woken < n; i++) {
        if (pollers[i].place == SLEEPS) {
            pollers[i].place = WOKEN_UP;
            woken++;
        }
    }

    pthread_cond_broadcast(&changed);

    return woken;
}


long
syscall(long number, ...)
{
    int                op;
    long               rc;
    va_list            args;
    uint32_t           val;
    _Atomic uint32_t  *word;

    if (number == SYS_gettid) {
        return gettid();
    }

    if (number != SYS_futex) {
        abort();
    }

    va_start(args, number);
    word = va_arg(args, _Atomic uint32_t *);
    op = va_arg(args, int);
    val = va_arg(args, uint32_t);
    va_end(args);

    pthread_mutex_lock(&lock);
    rc = op == FUTEX_WAIT_PRIVATE ? futex_wait(word, val)
                                  : futex_wake((int) val);
    pthread_mutex_unlock(&lock);

    return rc;
}


static int
setup(void **state)
{
    (void) state;

    memset(pollers, 0, sizeof(pollers));
    b = unit_bridge();
    q = bridge_queue_new(b, 100);
    assert_non_null(q);
    wake_calls = 0;

    return 0;
}


static int
teardown(void **state)
{
    (void) state;
    unit_bridge_free(b);
    return 0;
}


static void *
poll_once(void *arg)
{
    int       got;
    uint64_t  h;

    self = arg;
    got = bridge_poll(b, bridge_queue_handle(q), &h, 1, -1);

    if (got == 1) {
        (void) unit_answer(b, h, 0);
    }

    pthread_mutex_lock(&lock);
    self->got = got;
    self->done = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);

    return NULL;
}


static bool
is_at(poller_t *p, place_e place)
{
    bool  yes;

    pthread_mutex_lock(&lock);
    yes = p->place == place && !p->done;
    pthread_mutex_unlock(&lock);

    return yes;
}


static bool
is_done(poller_t *p)
{
    bool  done;

    pthread_mutex_lock(&lock);
    done = p->done;
    pthread_mutex_unlock(&lock);

    return done;
}


static void
start(poller_t *p, bool held, place_e until)
{
    p->held = held;
    p->thread = unit_thread(poll_once, p);
    unit_until(is_at(p, until));
}


static void
hold(poller_t *p, bool held)
{
    pthread_mutex_lock(&lock);
    p->held = held;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}


static void
take_without_waiting(void)
{
    uint64_t  h;

    assert_int_equal(bridge_poll(b, bridge_queue_handle(q), &h, 1, 0), 1);
    assert_true(unit_answer(b, h, 0));
}


static void
close_and_join(poller_t *p, int n)
{
    int  i;

    bridge_queue_close(q);

    for (i = 0; i < n; i++) {
        hold(&p[i], false);
        unit_join(p[i].thread);
    }

    (void) bridge_queue_reject(b, q);
    (void) unit_drain(b);
}


static void
test_no_sleeper_no_wake(void **state)
{
    (void) state;

    unit_push(b, q, 0);
    unit_push(b, q, 0);
    assert_int_equal(wake_calls, 0);

    close_and_join(NULL, 0);
}


static void
test_one_wake_until_the_woken_one_has_run(void **state)
{
    (void) state;

    start(&pollers[0], false, SLEEPS);
    start(&pollers[1], false, SLEEPS);
    hold(&pollers[0], true);
    hold(&pollers[1], true);

    unit_push(b, q, 0);
    unit_push(b, q, 0);
    unit_push(b, q, 0);
    assert_int_equal(wake_calls, 1);

    /* who has been woken finds more than it takes, and passes it on */

    hold(&pollers[0], false);
    hold(&pollers[1], false);
    unit_until(is_done(&pollers[0]) && is_done(&pollers[1]));
    assert_int_equal(wake_calls, 2);
    assert_int_equal(bridge_queue_len(q), 1);

    close_and_join(pollers, 2);
}


static void
test_a_push_before_the_sleep_is_seen(void **state)
{
    (void) state;

    start(&pollers[0], true, BEFORE_WAIT);
    unit_push(b, q, 0);
    hold(&pollers[0], false);
    unit_until(is_done(&pollers[0]));
    assert_int_equal(pollers[0].got, 1);

    close_and_join(pollers, 1);
}


static void
test_a_close_before_the_sleep_is_seen(void **state)
{
    (void) state;

    start(&pollers[0], true, BEFORE_WAIT);
    bridge_queue_close(q);
    hold(&pollers[0], false);
    unit_until(is_done(&pollers[0]));
    assert_int_equal(pollers[0].got, -1);

    unit_join(pollers[0].thread);
}


static void
test_a_close_wakes_every_sleeper(void **state)
{
    int  i;

    (void) state;

    for (i = 0; i < NTHREADS; i++) {
        start(&pollers[i], false, SLEEPS);
    }

    close_and_join(pollers, NTHREADS);

    for (i = 0; i < NTHREADS; i++) {
        assert_int_equal(pollers[i].got, -1);
    }
}


static void
test_a_task_taken_by_another_is_no_reason_to_leave(void **state)
{
    (void) state;

    start(&pollers[0], false, SLEEPS);
    hold(&pollers[0], true);
    unit_push(b, q, 0);
    unit_until(is_at(&pollers[0], WOKEN_UP));
    take_without_waiting();

    hold(&pollers[0], false);
    unit_until(is_at(&pollers[0], SLEEPS));

    unit_push(b, q, 0);
    unit_until(is_done(&pollers[0]));
    assert_int_equal(pollers[0].got, 1);

    close_and_join(pollers, 1);
}


/*
 * A poller that comes while another has been woken, is overtaken before it
 * sleeps, and then finds the word as it has left it.
 */
static void
test_the_word_comes_back_before_the_sleep(void **state)
{
    poller_t  *first, *slow, *last;

    (void) state;

    first = &pollers[0];
    slow = &pollers[1];
    last = &pollers[2];

    start(first, false, SLEEPS);
    hold(first, true);
    unit_push(b, q, 0);
    take_without_waiting();

    start(slow, true, BEFORE_WAIT);
    unit_push(b, q, 0);

    hold(first, false);
    unit_until(is_done(first));

    unit_push(b, q, 0);
    take_without_waiting();

    start(last, false, SLEEPS);
    hold(slow, false);
    unit_until(is_at(slow, SLEEPS));

    unit_push(b, q, 0);
    unit_until(is_done(slow) || is_done(last));

    close_and_join(pollers, NTHREADS);
}


#define test(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        test(test_no_sleeper_no_wake),
        test(test_one_wake_until_the_woken_one_has_run),
        test(test_a_push_before_the_sleep_is_seen),
        test(test_a_close_before_the_sleep_is_seen),
        test(test_a_close_wakes_every_sleeper),
        test(test_a_task_taken_by_another_is_no_reason_to_leave),
        test(test_the_word_comes_back_before_the_sleep),
    };

    return cmocka_run_group_tests_name("wake", tests, NULL, NULL);
}
