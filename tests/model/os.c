/* SPDX-License-Identifier: BSD-2-Clause */

#include <errno.h>

#include "shim.h"

#undef syscall


#define HEAP    (256 * 1024)
#define ALIGN   64
#define FDS     8
#define FREED   0xdd


/* in front of each block, whose memory is never used again in a run */
typedef struct {
    size_t  size;
    size_t  freed;
    char    pad[ALIGN - 2 * sizeof(size_t)];
} block_t;


static _Alignas(ALIGN) char  heap[HEAP];
static void                (*key_end)(void *value);

static MODEL_STATE size_t    used;
static MODEL_STATE unsigned  blocks;

/* numbers are used again, the lowest first, as the kernel does */
static MODEL_STATE struct {
    uint64_t  count;
    bool      open;
} fds[FDS];

static MODEL_LOCAL void  *specific;


void
os_reset(void)
{
    memset(heap, 0, used);
}


void *
os_heap(size_t *size)
{
    *size = used;

    return heap;
}


static block_t *
block_of(const volatile void *p)
{
    size_t    at, size;
    block_t  *block;

    for (at = 0; at < used; at += size) {
        block = (block_t *) (heap + at);
        size = sizeof(block_t) + (block->size + ALIGN - 1) / ALIGN * ALIGN;

        if ((const volatile char *) p < heap + at + size) {
            return block;
        }
    }

    model_fail("%p: not from malloc", (void *) (uintptr_t) p);
}


void
os_touch(const volatile void *p)
{
    const volatile char  *at = p;

    if (at >= heap && at < heap + HEAP && block_of(p)->freed) {
        model_fail("use after free");
    }
}


void
os_check(void)
{
    size_t    at, size, i;
    block_t  *block;

    for (at = 0; at < used; at += size) {
        block = (block_t *) (heap + at);
        size = sizeof(block_t) + (block->size + ALIGN - 1) / ALIGN * ALIGN;

        if (!block->freed) {
            continue;
        }


        for (i = 0; i < block->size; i++) {
            if (((unsigned char *) (block + 1))[i] != FREED) {
                model_fail("write after free");
            }
        }
    }
}


void *
shim_malloc(size_t size)
{
    size_t    all;
    block_t  *block;

    all = sizeof(block_t) + (size + ALIGN - 1) / ALIGN * ALIGN;
    if (used + all > HEAP) {
        model_fail("the model's heap is too small");
    }

    block = (block_t *) (heap + used);
    block->size = size;
    used += all;
    blocks++;

    return memset(block + 1, 0xa5, size);
}


void *
shim_calloc(size_t n, size_t size)
{
    return memset(shim_malloc(n * size), 0, n * size);
}


void
shim_free(void *p)
{
    block_t  *block;

    if (p == NULL) {
        return;
    }

    block = block_of(p);

    if (block->freed || p != block + 1) {
        model_fail("free of what is not allocated");
    }

    block->freed = 1;
    blocks--;
    memset(p, FREED, block->size);
}


size_t
shim_usable_size(void *p)
{
    return block_of(p)->size;
}


unsigned
model_blocks(void)
{
    return blocks;
}


long
shim_syscall(long number, ...)
{
    if (number != SYS_gettid) {
        model_fail("a system call that the model has not");
    }

    return model_self() + 1;
}


/* ---- locks, conditions and the clock */

/* what is in a mutex: 0, or the number of the fiber that has it, from 1 */
static unsigned *
holder(pthread_mutex_t *lock)
{
    return (unsigned *) (void *) lock;
}


static void
acquire(pthread_mutex_t *lock)
{
    while (*holder(lock)) {
        (void) model_sleep(lock, MODEL_NEVER, "goes on");
    }

    *holder(lock) = model_self() + 1;
}


/* no point: what others see of it is that they may go on */
static void
let_go(pthread_mutex_t *lock)
{
    if (*holder(lock) != model_self() + 1) {
        model_fail("unlock of what is not locked");
    }

    *holder(lock) = 0;
    model_ready(lock, 1);
}


int
shim_lock(pthread_mutex_t *lock)
{
    model_access(lock, true, "lock", __func__, __LINE__);
    acquire(lock);

    return 0;
}


int
shim_unlock(pthread_mutex_t *lock)
{
    os_touch(lock);
    let_go(lock);

    return 0;
}


int
shim_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock,
    const struct timespec *ts)
{
    bool  in_time;

    os_touch(cond);
    let_go(lock);
    in_time = model_sleep(cond, ts ? ts->tv_sec * 1000000
                                     + ts->tv_nsec / 1000 : -1,
                          "cond_wait returns");
    acquire(lock);

    return in_time ? 0 : ETIMEDOUT;
}


int
shim_cond_wake(pthread_cond_t *cond, int n)
{
    model_point("cond_signal", __func__, __LINE__);
    os_touch(cond);
    model_ready(cond, n);

    return 0;
}


int
shim_clock(struct timespec *ts)
{
    int64_t  now;

    now = model_clock();
    ts->tv_sec = now / 1000000;
    ts->tv_nsec = now % 1000000 * 1000;

    return 0;
}


/* ---- eventfds; their numbers begin at 1 */

static bool
is_open(int fd)
{
    return fd >= 1 && fd <= FDS && fds[fd - 1].open;
}


int
shim_eventfd(unsigned n, int flags)
{
    int  fd;

    (void) flags;
    model_point("eventfd", __func__, __LINE__);

    for (fd = 1; is_open(fd); fd++) { /* void */ }

    if (fd > FDS) {
        model_fail("too many eventfds");
    }

    fds[fd - 1].open = true;
    fds[fd - 1].count = n;

    return fd;
}


/* each number is an eventfd's; that it is open is looked at without a point */
int
shim_fstat(int fd, struct stat *st)
{
    memset(st, 0, sizeof(struct stat));

    if (fd == -1) {
        errno = EBADF;
        return -1;
    }

    if (!is_open(fd)) {
        model_fail("a number that is no eventfd's: %d", fd);
    }

    return 0;
}


ssize_t
shim_write(int fd, const void *p, size_t n)
{
    model_point("write", __func__, __LINE__);

    if (fd == -1) {
        errno = EBADF;
        return -1;
    }

    if (!is_open(fd) || n != sizeof(uint64_t)) {
        model_fail("write to a file that is not open: %d", fd);
    }

    fds[fd - 1].count += *(const uint64_t *) p;
    model_ready(&fds[fd - 1], INT32_MAX);

    return (ssize_t) n;
}


int
shim_close(int fd)
{
    model_point("close", __func__, __LINE__);

    if (!is_open(fd)) {
        model_fail("close of what is not open: %d", fd);
    }

    fds[fd - 1].open = false;

    return 0;
}


void
model_wait_fd(int fd)
{
    model_point("epoll_wait", __func__, __LINE__);

    /* one that has been closed never is: nobody tells a loop */

    while (!is_open(fd) || fds[fd - 1].count == 0) {
        (void) model_sleep(&fds[fd - 1], -1, "epoll_wait returns");
    }
}


void
model_read_fd(int fd)
{
    model_point("read", __func__, __LINE__);

    if (is_open(fd)) {
        fds[fd - 1].count = 0;
    }
}


unsigned
model_open_fds(void)
{
    int       fd;
    unsigned  n;

    for (n = 0, fd = 1; fd <= FDS; fd++) {
        n += is_open(fd);
    }

    return n;
}


/* ---- what a thread has at its end; the bridge has one key */

int
shim_key_create(pthread_key_t *key, void (*end)(void *))
{
    *key = 0;
    key_end = end;

    return 0;
}


void *
shim_getspecific(pthread_key_t key)
{
    (void) key;

    return specific;
}


int
shim_setspecific(pthread_key_t key, const void *value)
{
    (void) key;
    specific = (void *) (uintptr_t) value;

    return 0;
}


void
os_thread_ends(void)
{
    void  *value;

    value = specific;
    specific = NULL;

    if (value) {
        key_end(value);
    }
}
