/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE     /* clone(), unshare() */
#endif

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "resty_ffi.h"

#include "eventfd.h"
#include "log.h"
#include "passing.h"
#include "queue.h"
#include "spawn.h"


/* the spawner's own, and that of the task that starts it */
#define STACK  ((size_t) 256 * 1024)


typedef struct order_s  order_t;

struct order_s {
    order_t         *next;
    void            (*run)(order_t *order);
    uint64_t         sent;      /* a descriptor comes along; 0: none */
    int              fd;        /* it, as the spawner has it; or -1 */
    int              number;    /* of what is to be closed */

    /* of a thread; the one who gives the order waits */
    bridge_queue_t  *queue;
    void           *(*start)(void *arg);
    void            *arg;
    size_t           stack;
    int              err;       /* -1: not done yet */
};


static pthread_mutex_t  lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t   changed = PTHREAD_COND_INITIALIZER;
static order_t         *orders, **last_order = &orders;
static bool             running;
static int              fds[2] = { -1, -1 };    /* the host's, the spawner's */
static struct stat      ends[2];                /* what they are */
static mode_t           mask = 022;
static int              kept = -1;


void
bridge_spawn_init(int umask, int fd)
{
    mask = (mode_t) umask;
    kept = fd;
}


/* ---- descriptors on their way to the spawner */

/* lock held; the number to receive it by, 0 where it could not be sent */
static uint64_t
send_fd(int fd)
{
    static uint64_t  sent;

    return bridge_pass_send(fds[0], fd, ++sent) ? sent : 0;
}


static bool
is_end(int fd, const struct stat *end)
{
    struct stat  st;

    return fd != -1 && fstat(fd, &st) == 0
           && st.st_ino == end->st_ino && st.st_dev == end->st_dev;
}


/* the spawner's; -1 where it cannot be had */
static int
receive_fd(uint64_t wanted)
{
    int       fd;
    uint64_t  number;

    if (!is_end(fds[1], &ends[1])) {
        return -1;
    }

    /* one before it may not have been received in its time */

    for ( ;; ) {
        fd = bridge_pass_receive(fds[1], &number);

        if (number >= wanted) {
            return fd;
        }

        if (fd != -1) {
            (void) close(fd);
        }
    }
}


/* ---- the spawner */

static void
carry_out(order_t *order)
{
    order->fd = order->sent ? receive_fd(order->sent) : -1;
    order->run(order);
}


static void
serve(void)
{
    order_t  *order;

    pthread_mutex_lock(&lock);

    for ( ;; ) {
        while (orders == NULL) {
            pthread_cond_wait(&changed, &lock);
        }

        order = orders;
        orders = order->next;

        if (orders == NULL) {
            last_order = &orders;
        }

        pthread_mutex_unlock(&lock);
        carry_out(order);
        pthread_mutex_lock(&lock);
    }
}


/* where the system has no close_range() */
static void
close_each(void)
{
    int  fd, n;

    n = (int) sysconf(_SC_OPEN_MAX);

    for (fd = 3; fd < n; fd++) {
        if (fd != kept && fd != fds[1]) {
            (void) close(fd);
        }
    }
}


static bool
close_range_of(unsigned first, unsigned last)
{
    return first > last || syscall(SYS_close_range, first, last, 0) == 0;
}


static void
close_what_is_the_hosts(void)
{
    unsigned  a, b;

    a = (unsigned) (kept < fds[1] ? kept : fds[1]);
    b = (unsigned) (kept < fds[1] ? fds[1] : kept);

    if (kept <= 2) {
        a = b;
    }

    if (!close_range_of(3, a - 1)
        || !close_range_of(a + 1, b - 1)
        || !close_range_of(b + 1, ~0u))
    {
        close_each();
    }
}


static void *
parted(void *arg)
{
    (void) arg;

    (void) umask(mask);
    close_what_is_the_hosts();
    serve();

    return NULL;
}


static void
say_refused(bridge_t *b)
{
    bridge_logf(b, RESTY_FFI_LOG_NOTICE,
                "FFI012: ffi: threads of runtimes share descriptors, umask and "
                "directory with nginx, since unshare() and clone() are "
                "refused: %s; this worker's umask is now %03o, and children "
                "of runtimes may inherit connections", strerror(errno),
                (unsigned) mask);
}


static int
start_thread(void *(*start)(void *), void *arg, size_t stack)
{
    int             err;
    pthread_t       thread;
    pthread_attr_t  attr;

    err = pthread_attr_init(&attr);
    if (err) {
        return err;
    }

    if (stack) {
        (void) pthread_attr_setstacksize(&attr, stack);
    }

    (void) pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);

    err = pthread_create(&thread, &attr, start, arg);

    (void) pthread_attr_destroy(&attr);

    return err;
}


static int
start_parted(void *arg)
{
    *(int *) arg = start_thread(parted, NULL, STACK);
    return 0;
}


/*
 * Docker's default seccomp profile refuses unshare(), but not clone() without
 * CLONE_FS and CLONE_FILES.  The C library makes no such threads.  So a task
 * of clone()'s, which runs in this thread's name while this thread sleeps,
 * starts one that shares with it, and ends.
 */
static bool
part_by_clone(void)
{
    int   err;
    char  stack[STACK / 4] __attribute__((aligned(16)));

    if (clone(start_parted, stack + sizeof(stack), CLONE_VM|CLONE_SIGHAND
              |CLONE_THREAD|CLONE_SYSVSEM|CLONE_VFORK, &err)
        == -1)
    {
        return false;
    }

    errno = err;

    return err == 0;
}


static void *
part(void *arg)
{
    if (unshare(CLONE_FS|CLONE_FILES) == 0) {
        return parted(NULL);
    }

    if (!part_by_clone()) {
        say_refused(arg);
        (void) umask(mask);
        serve();
    }

    return NULL;
}


/* lock held */
static int
start_spawner(bridge_t *b)
{
    int  err;

    if (fds[0] == -1
        && (socketpair(AF_UNIX, SOCK_SEQPACKET|SOCK_CLOEXEC, 0, fds) == -1
            || fstat(fds[0], &ends[0]) == -1
            || fstat(fds[1], &ends[1]) == -1))
    {
        return errno;
    }

    err = start_thread(part, b, STACK);
    running = err == 0;

    return err;
}


/* ---- orders */

static void
give(order_t *order)
{
    order->next = NULL;
    *last_order = order;
    last_order = &order->next;
    pthread_cond_broadcast(&changed);
}


static void
run_spawn(order_t *order)
{
    int  err;

    err = order->sent && order->fd == -1 ? EMFILE : 0;

    if (err == 0) {
        if (order->queue) {
            atomic_store(&order->queue->fd, order->fd);
        }

        err = start_thread(order->start, order->arg, order->stack);
    }

    if (err && order->fd != -1) {
        atomic_store(&order->queue->fd, -1);
        (void) close(order->fd);
    }

    pthread_mutex_lock(&lock);
    order->err = err;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}


int
bridge_spawn(bridge_t *b, bridge_queue_t *q, void *(*start)(void *arg),
    void *arg, size_t stack)
{
    int      err;
    order_t  order;

    memset(&order, 0, sizeof(order_t));
    order.run = run_spawn;
    order.queue = q;
    order.start = start;
    order.arg = arg;
    order.stack = stack;
    order.err = -1;

    if (q) {
        q->host_fd = bridge_eventfd();
        if (q->host_fd == -1) {
            return errno;
        }

        q->close_fd = bridge_spawn_close;
    }

    pthread_mutex_lock(&lock);

    err = running ? 0 : start_spawner(b);

    if (err == 0 && q) {
        order.sent = send_fd(q->host_fd);
        err = order.sent ? 0 : errno;
    }

    if (err == 0) {
        give(&order);

        while (order.err == -1) {
            pthread_cond_wait(&changed, &lock);
        }

        err = order.err;
    }

    pthread_mutex_unlock(&lock);

    if (err && q) {
        (void) close(q->host_fd);
        q->host_fd = -1;
        q->close_fd = NULL;
    }

    return err;
}


static void
run_close(order_t *order)
{
    bridge_eventfd_close(order->number);
    free(order);
}


static void
run_stderr(order_t *order)
{
    if (order->fd != -1) {
        (void) dup2(order->fd, STDERR_FILENO);
        (void) close(order->fd);
    }

    free(order);
}


static void
give_later(void (*run)(order_t *order), int number, int fd)
{
    order_t  *order;

    order = calloc(1, sizeof(order_t));
    if (order == NULL) {
        return;
    }

    order->run = run;
    order->number = number;

    pthread_mutex_lock(&lock);

    order->sent = fd != -1 && running ? send_fd(fd) : 0;

    if (running && (fd == -1 || order->sent)) {
        give(order);
        order = NULL;
    }

    pthread_mutex_unlock(&lock);

    free(order);
}


void
bridge_spawn_close(int fd)
{
    give_later(run_close, fd, -1);
}


void
bridge_spawn_stderr(int fd)
{
    give_later(run_stderr, 0, fd);
}


/* ---- descriptors on their way to the host */

bool
bridge_spawn_parted(int *socket)
{
    bool  parted;

    pthread_mutex_lock(&lock);

    *socket = fds[1];
    parted = fds[0] != -1 && !is_end(fds[0], &ends[0]);

    if (parted && !is_end(fds[1], &ends[1])) {
        *socket = -1;
    }

    pthread_mutex_unlock(&lock);

    return parted;
}


int
bridge_spawn_socket(void)
{
    return is_end(fds[0], &ends[0]) ? fds[0] : -1;
}
