/* SPDX-License-Identifier: BSD-2-Clause */

/* Threads that have parted from the host: what is theirs, what is both's. */

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

#include "eventfd.h"
#include "spawn.h"


#define MASK  037


static int        kept, others[2];

static _Atomic bool  ended;
static bool          sees_kept, sees_other, sees_stderr;
static mode_t        sees_mask;
static char          sees_cwd[4096];


static int
setup_all(void **state)
{
    (void) state;

    b = unit_bridge();
    kept = bridge_eventfd();
    assert_int_equal(pipe2(others, O_CLOEXEC), 0);
    bridge_spawn_init(MASK, kept);

    return 0;
}


static void
spawn(bridge_queue_t *q, void *(*start)(void *), void *arg)
{
    atomic_store(&ended, false);
    assert_int_equal(bridge_spawn(b, q, start, arg, 0), 0);
}


static bool
is_open(int fd)
{
    return fcntl(fd, F_GETFD) != -1;
}


static void *
look(void *arg)
{
    sees_kept = is_open(kept);
    sees_other = is_open(others[0]) || is_open(others[1]);
    sees_stderr = is_open(STDERR_FILENO);
    sees_mask = umask(MASK);
    assert_non_null(getcwd(sees_cwd, sizeof(sees_cwd)));
    assert_int_equal(chdir("/"), 0);

    if (arg) {
        unit_join(unit_thread(arg, NULL));
    }

    atomic_store(&ended, true);

    return NULL;
}


static void
check_parted(void)
{
    unit_until(atomic_load(&ended));

    assert_true(sees_kept);
    assert_false(sees_other);
    assert_true(sees_stderr);
    assert_int_equal(sees_mask, MASK);
}


static void
test_a_thread_and_its_children(void **state)
{
    char    cwd[4096];
    mode_t  mask;

    (void) state;

    assert_non_null(getcwd(cwd, sizeof(cwd)));
    mask = umask(022);

    spawn(NULL, look, look);
    check_parted();
    assert_string_equal(sees_cwd, "/");

    /* and nothing of this is the host's */

    assert_int_equal(umask(mask), 022);
    assert_true(is_open(others[0]) && is_open(others[1]));
    assert_non_null(getcwd(sees_cwd, sizeof(sees_cwd)));
    assert_string_equal(sees_cwd, cwd);
}


static void *
close_all(void *arg)
{
    int  fd;

    (void) arg;

    for (fd = 3; fd < 1000; fd++) {
        if (fd != kept) {
            (void) close(fd);
        }
    }

    atomic_store(&ended, true);

    return NULL;
}


/* ---- the eventfd of a queue, in both tables */

static _Atomic int   loop_fd;
static _Atomic bool  armed, woken, notifies, goes_on;


static void *
run_loop(void *arg)
{
    int       fd;
    uint64_t  handle, task;

    handle = bridge_queue_handle(arg);

    fd = bridge_queue_fd(b, handle);
    assert_true(is_open(fd));
    atomic_store(&loop_fd, fd);

    /* the kick comes first */

    unit_until(atomic_load(&notifies));
    assert_false(bridge_queue_arm(b, handle));
    assert_true(bridge_queue_arm(b, handle));
    atomic_store(&armed, true);

    while (!atomic_load(&woken)) {
        assert_int_equal(bridge_queue_read_fd(b, handle), true);

        if (bridge_poll(b, handle, &task, 1, 0) == 1) {
            assert_true(unit_answer(b, task, 0));
            atomic_store(&woken, true);
        }
    }

    unit_until(atomic_load(&goes_on));
    assert_int_equal(bridge_poll(b, handle, &task, 1, 0), -1);
    atomic_store(&ended, true);

    return NULL;
}


static bool
readable(int fd)
{
    uint64_t  count;

    return read(fd, &count, sizeof(count)) == sizeof(count);
}


static void
test_the_eventfd_of_a_queue(void **state)
{
    int              host_fd;
    bridge_queue_t  *q;

    (void) state;

    atomic_store(&loop_fd, -1);
    q = unit_queue(10);
    spawn(q, run_loop, q);

    unit_until(atomic_load(&loop_fd) != -1);
    host_fd = q->host_fd;
    assert_true(is_open(host_fd));

    /* what a parted thread writes can be read here, and the reverse */

    bridge_kick(b, bridge_queue_handle(q));
    assert_true(readable(host_fd));

    atomic_store(&notifies, true);
    unit_until(atomic_load(&armed));
    unit_push(b, q, 0);
    unit_until(atomic_load(&woken));
    assert_int_equal(unit_drain(b), 1);

    bridge_queue_close(q);
    assert_false(bridge_queue_release(q));
    atomic_store(&goes_on, true);
    unit_until(atomic_load(&ended));
    unit_until(bridge_queue_release(q));
    assert_false(is_open(host_fd));
}


static void *
look_at_loop(void *arg)
{
    (void) arg;

    sees_other = is_open(atomic_load(&loop_fd));
    atomic_store(&ended, true);

    return NULL;
}


static void
test_the_eventfd_goes_with_its_queue(void **state)
{
    int  i;

    (void) state;

    for (sees_other = true, i = 0; sees_other && i < 100; i++) {
        spawn(NULL, look_at_loop, NULL);
        unit_until(atomic_load(&ended));
    }

    assert_false(sees_other);
}


/* ---- stderr */

static void *
write_to_stderr(void *arg)
{
    assert_int_equal(write(STDERR_FILENO, arg, 1), 1);
    atomic_store(&ended, true);

    return NULL;
}


static void
test_stderr_follows(void **state)
{
    int   before;
    char  byte;

    (void) state;

    before = dup(STDERR_FILENO);

    bridge_spawn_stderr(others[1]);
    spawn(NULL, write_to_stderr, "x");
    unit_until(atomic_load(&ended));
    assert_int_equal(read(others[0], &byte, 1), 1);
    assert_int_equal(byte, 'x');

    bridge_spawn_stderr(before);
    (void) close(before);
}


/* ---- numbers that are something else by now */

static void
test_no_eventfd_is_written_to(void **state)
{
    int   fd;
    char  byte;

    (void) state;

    fd = bridge_eventfd();
    assert_true(bridge_eventfd_write(fd));
    assert_true(bridge_eventfd_read(fd));
    assert_true(bridge_eventfd_read(fd));

    assert_int_equal(dup2(others[1], fd), fd);
    assert_false(bridge_eventfd_write(fd));
    bridge_eventfd_close(fd);
    assert_true(is_open(fd));

    assert_int_equal(fcntl(others[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(read(others[0], &byte, 1), -1);

    assert_int_equal(dup2(others[0], fd), fd);
    assert_int_equal(write(others[1], "x", 1), 1);
    assert_false(bridge_eventfd_read(fd));
    assert_int_equal(read(others[0], &byte, 1), 1);

    (void) close(fd);
    assert_false(bridge_eventfd_write(fd));
    assert_false(bridge_eventfd_read(fd));
}


static void
test_a_full_eventfd_is_written_to(void **state)
{
    int       fd;
    uint64_t  most;

    (void) state;

    fd = bridge_eventfd();
    most = UINT64_MAX - 1;
    assert_int_equal(write(fd, &most, sizeof(most)), sizeof(most));
    assert_true(bridge_eventfd_write(fd));
    bridge_eventfd_close(fd);
    assert_false(is_open(fd));
}


/* the last: nothing reaches the spawner any more */
static void
test_parted_threads_close_what_there_is(void **state)
{
    bridge_queue_t  *q;

    (void) state;

    q = unit_queue(10);

    spawn(NULL, close_all, NULL);
    unit_until(atomic_load(&ended));
    assert_true(is_open(others[0]) && is_open(others[1]));

    /* threads still start, but for those that need a descriptor */

    spawn(NULL, look, NULL);
    check_parted();

    assert_int_not_equal(bridge_spawn(b, q, look, NULL, 0), 0);
    assert_int_equal(q->host_fd, -1);
    assert_int_equal(atomic_load(&q->fd), -1);

    unit_queue_end(q);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_no_eventfd_is_written_to),
        cmocka_unit_test(test_a_full_eventfd_is_written_to),
        cmocka_unit_test(test_a_thread_and_its_children),
        cmocka_unit_test(test_the_eventfd_of_a_queue),
        cmocka_unit_test(test_the_eventfd_goes_with_its_queue),
        cmocka_unit_test(test_stderr_follows),
        cmocka_unit_test(test_parted_threads_close_what_there_is),
    };

    /* b stays: threads that have ended may be about to say so */

    return cmocka_run_group_tests_name("spawn", tests, setup_all, NULL);
}
