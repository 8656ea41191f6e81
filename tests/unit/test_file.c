/* SPDX-License-Identifier: BSD-2-Clause */

/* Parts that are ranges of files, of threads that share descriptors or not. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "resty_ffi.h"

#include "abi.h"
#include "file.h"
#include "head.h"
#include "spawn.h"
#include "stream.h"
#include "unit.h"


#define TEXT  "0123456789"


static bridge_queue_t  *q;
static bridge_task_t   *t;
static void            *tq, *tsk;
static char             name[] = "/tmp/test_file.XXXXXX";
static struct stat      file;


static void
take(bool web, size_t high)
{
    if (web) {
        t = bridge_task_new_web(b, strdup("the head"), 8);

    } else {
        t = unit_task(b, "q", 1);
    }

    assert_non_null(t);
    bridge_stream_open(t, high, false);
    assert_true(bridge_push(q, t));
    tsk = ngx_http_lua_ffi_task_poll(tq);
    assert_non_null(tsk);

    if (web) {
        assert_int_equal(resty_ffi_send_head(tsk, 200, NULL, 0), 0);
        bridge_head_free((bridge_head_t *) unit_take(b, BRIDGE_NODE_HEAD));
    }
}


static int
setup(void **state)
{
    (void) state;

    b = bridge_host();
    q = unit_queue(10);
    tq = (void *) (uintptr_t) bridge_queue_handle(q);
    take(true, 0);

    return 0;
}


static void
finish(void)
{
    resty_ffi_respond_copy(tsk, 0, NULL, 0);
    assert_int_equal(unit_drain(b), 1);
}


static int
teardown(void **state)
{
    (void) state;

    unit_queue_end(q);
    assert_int_equal(b->live_tasks, 0);
    assert_null(bridge_take(b));

    return 0;
}


static bool
is_open(int fd)
{
    return fcntl(fd, F_GETFD) != -1;
}


static int
open_file(void)
{
    int  fd = open(name, O_RDONLY | O_CLOEXEC);

    assert_true(fd != -1);

    return fd;
}


/* the next one */
static bridge_part_t *
part(void)
{
    bridge_node_t  *n;

    static bridge_node_t  *rest;

    n = rest ? rest : unit_take(b, BRIDGE_NODE_PART);
    rest = n ? n->next : NULL;

    return (bridge_part_t *) n;
}


/* and frees it */
static void
check(bridge_part_t *p, int64_t offset, size_t len)
{
    int          fd;
    char         text[sizeof(TEXT)] = "";
    struct stat  st;

    assert_non_null(p);
    assert_true(bridge_part_is_file(p));
    assert_int_equal(p->len, len);
    assert_int_equal(bridge_file_offset(p), offset);

    fd = bridge_file_fd(p);
    assert_int_equal(bridge_file_fd(p), fd);
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(st.st_ino == file.st_ino && st.st_dev == file.st_dev);
    assert_int_equal(pread(fd, text, len, offset), len);
    assert_memory_equal(text, &TEXT[offset], len);

    bridge_part_free(b, p, true);
    assert_false(is_open(fd));
}


static void
test_a_range(void **state)
{
    int  fd = open_file();

    (void) state;

    assert_int_equal(resty_ffi_send_file(tsk, fd, 3, 5), 0);
    check(part(), 3, 5);
    assert_false(is_open(fd));
    finish();
}


static void
test_no_bytes(void **state)
{
    int  fd = open_file();

    (void) state;

    assert_int_equal(resty_ffi_send_file(tsk, fd, 3, 0), 0);
    assert_false(is_open(fd));
    assert_null(part());
    finish();
}


static void
check_refused(int fd, int64_t offset, int64_t len, int rc)
{
    assert_int_equal(resty_ffi_send_file(tsk, fd, offset, len), rc);
    assert_true(fd == -1 || is_open(fd));
    assert_null(part());
}


static void
test_what_is_refused(void **state)
{
    int  i, fd, others[5];

    (void) state;

    fd = open_file();
    check_refused(fd, -1, 1, EINVAL);
    check_refused(fd, 0, -1, EINVAL);
    check_refused(fd, INT64_MAX, 1, EINVAL);
    check_refused(-1, 0, 1, EINVAL);

    assert_int_equal(pipe2(others, O_CLOEXEC), 0);
    others[2] = open("/tmp", O_RDONLY | O_CLOEXEC);
    others[3] = open(name, O_WRONLY | O_CLOEXEC);
    others[4] = open(name, O_PATH | O_CLOEXEC);

    for (i = 0; i < 5; i++) {
        check_refused(others[i], 0, 1, EINVAL);
        (void) close(others[i]);
    }

    finish();
    check_refused(fd, 0, 1, EPIPE);
    check_refused(fd, 0, 0, EPIPE);

    take(false, 0);
    check_refused(fd, 0, 1, EINVAL);
    finish();

    t = bridge_task_new_web(b, strdup("the head"), 8);
    bridge_stream_open(t, 0, false);
    assert_true(bridge_push(q, t));
    tsk = ngx_http_lua_ffi_task_poll(tq);
    check_refused(fd, 0, 1, EINVAL);
    bridge_task_cancel(b, t);
    check_refused(fd, 0, 1, EPIPE);
    finish();

    (void) close(fd);
}


/* its length does not count, and there are never many at once */
static void
test_the_mark(void **state)
{
    int             i, fd;
    bridge_part_t  *parts[16];

    (void) state;

    for (i = 0; i < 16; i++) {
        assert_int_equal(resty_ffi_send_file(tsk, open_file(), 0,
                                             INT64_MAX / 2), 0);
        parts[i] = part();
    }

    fd = open_file();
    check_refused(fd, 0, 1, EAGAIN);
    assert_int_equal(resty_ffi_send_copy(tsk, "x", 1), EAGAIN);
    assert_int_equal(resty_ffi_wait(tsk, RESTY_FFI_WRITABLE, 0), 0);

    for (i = 0; i < 12; i++) {
        bridge_part_free(b, parts[i], i % 2);
    }

    assert_int_equal(resty_ffi_wait(tsk, RESTY_FFI_WRITABLE, 0),
                     RESTY_FFI_WRITABLE);
    assert_int_equal(resty_ffi_send_file(tsk, fd, 1, 2), 0);
    check(part(), 1, 2);

    for (i = 12; i < 16; i++) {
        bridge_part_free(b, parts[i], true);
    }

    finish();
}


/* ---- threads that have parted */

static _Atomic bool  ended;
static int           results[2000], sends;
static bool          left_open;


static void *
send_some(void *arg)
{
    int  i, fd;

    (void) arg;

    for (i = 0; i < sends; i++) {
        fd = open_file();
        results[i] = resty_ffi_send_file(tsk, fd, i % 5, 5);

        /* it is this thread's if it was refused */

        left_open |= is_open(fd) == (results[i] == 0);

        if (results[i]) {
            (void) close(fd);
        }
    }

    atomic_store(&ended, true);

    return NULL;
}


static void
send_parted(int n)
{
    sends = n;
    left_open = false;
    atomic_store(&ended, false);

    assert_int_equal(resty_ffi_thread(NULL, send_some, NULL, 0), 0);
    unit_until(atomic_load(&ended));
    assert_false(left_open);
}


static void
test_a_thread_that_has_parted(void **state)
{
    (void) state;

    send_parted(1);
    assert_int_equal(results[0], 0);
    check(part(), 0, 5);
    finish();
}


/* what is asked for may have been sent later */
static void
test_another_order(void **state)
{
    int             i;
    bridge_part_t  *parts[10];

    (void) state;

    send_parted(10);

    for (i = 0; i < 10; i++) {
        parts[i] = part();
    }

    for (i = 9; i >= 0; i--) {
        check(parts[i], i % 5, 5);
    }

    finish();
}


/* nobody asks for their descriptors, which are closed all the same */
static void
test_parts_that_nobody_wants(void **state)
{
    int             before, after;
    bridge_part_t  *p;

    (void) state;

    before = open_file();
    (void) close(before);

    send_parted(10);

    while ((p = part()) != NULL) {
        bridge_part_free(b, p, false);
    }

    after = open_file();
    (void) close(after);
    assert_int_equal(before, after);
    finish();
}


static void
test_too_many_on_their_way(void **state)
{
    int             i, n, refused;
    bridge_part_t  *p;

    (void) state;

    finish();
    take(true, SIZE_MAX / 2);
    send_parted(2000);

    n = 0;
    refused = 0;

    for (i = 0; i < 2000; i++) {
        assert_true(results[i] == 0 || results[i] == EMFILE);
        refused += results[i] != 0;
    }

    assert_true(refused > 0);

    while ((p = part()) != NULL) {
        bridge_part_free(b, p, true);
        n++;
    }

    assert_int_equal(n, 2000 - refused);
    assert_true(n > 100);

    send_parted(5);
    assert_int_equal(results[4], 0);

    for (i = 0; i < 5; i++) {
        check(part(), i, 5);
    }

    finish();
}


/* of this thread there is nothing to be passed */
static void
test_one_that_shares_beside_those(void **state)
{
    int  fd = open_file();

    (void) state;

    assert_int_equal(resty_ffi_send_file(tsk, fd, 0, 10), 0);
    check(part(), 0, 10);
    assert_false(is_open(fd));
    finish();
}


static void
test_a_forked_child_does_nothing(void **state)
{
    int    fd, status;
    pid_t  pid;

    (void) state;

    fd = open_file();
    pid = fork();
    assert_true(pid >= 0);

    if (pid == 0) {
        _exit(resty_ffi_send_file(tsk, fd, 0, 1) == EPIPE
              && is_open(fd) ? 0 : 1);
    }

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    (void) close(fd);
    finish();
}


#define test(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    int  fd, rc;

    const struct CMUnitTest  tests[] = {
        test(test_a_range),
        test(test_no_bytes),
        test(test_what_is_refused),
        test(test_the_mark),
        test(test_a_thread_that_has_parted),
        test(test_another_order),
        test(test_parts_that_nobody_wants),
        test(test_too_many_on_their_way),
        test(test_one_that_shares_beside_those),
        test(test_a_forked_child_does_nothing),
    };

    fd = mkstemp(name);

    if (fd == -1
        || write(fd, TEXT, sizeof(TEXT) - 1) != sizeof(TEXT) - 1
        || fstat(fd, &file) == -1
        || close(fd) == -1)
    {
        perror(name);
        return 1;
    }

    (void) bridge_host_init(unit_notify, NULL);

    rc = cmocka_run_group_tests(tests, NULL, NULL);
    (void) unlink(name);

    return rc;
}
