/* SPDX-License-Identifier: BSD-2-Clause */

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eventfd.h"


/*
 * All eventfds have one inode, which they share with epoll, timerfd and the
 * like: all of these refuse what is written to an eventfd.
 */
static _Atomic uint64_t  device, inode;


int
bridge_eventfd(void)
{
    int          fd;
    struct stat  st;

    fd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);

    if (fd != -1 && fstat(fd, &st) == 0) {
        atomic_store_explicit(&device, st.st_dev, memory_order_relaxed);
        atomic_store_explicit(&inode, st.st_ino, memory_order_relaxed);
    }

    return fd;
}


static bool
is_eventfd(int fd)
{
    struct stat  st;

    return fstat(fd, &st) == 0
           && st.st_ino == atomic_load_explicit(&inode, memory_order_relaxed)
           && st.st_dev == atomic_load_explicit(&device,
                                                memory_order_relaxed);
}


bool
bridge_eventfd_write(int fd)
{
    ssize_t   n;
    uint64_t  one;

    if (!is_eventfd(fd)) {
        return false;
    }

    one = 1;

    do {
        n = write(fd, &one, sizeof(one));
    } while (n == -1 && errno == EINTR);

    /* one that is full is readable */

    return n != -1 || errno == EAGAIN;
}


bool
bridge_eventfd_read(int fd)
{
    ssize_t   n;
    uint64_t  count;

    if (!is_eventfd(fd)) {
        return false;
    }

    n = read(fd, &count, sizeof(count));

    return n != -1 || errno == EAGAIN || errno == EINTR;
}


void
bridge_eventfd_close(int fd)
{
    if (is_eventfd(fd)) {
        (void) close(fd);
    }
}
