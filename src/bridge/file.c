/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE     /* O_PATH */
#endif

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "passing.h"
#include "spawn.h"


/* what a part has in the place of a copy */
typedef struct {
    int64_t   offset;
    uint64_t  number;   /* to receive it by; 0: it is there */
    int       fd;
} file_t;

/* received before the part that it is of has come up */
typedef struct early_s  early_t;

struct early_s {
    early_t   *next;
    uint64_t   number;
    int        fd;
};


static _Atomic uint64_t  last_number;
static early_t          *early;         /* the host's own */


static file_t *
file_of(const bridge_part_t *p)
{
    return (void *) p->copy;
}


static bool
is_good(int fd, int64_t offset, int64_t len)
{
    int          flags;
    struct stat  st;

    if (offset < 0 || len < 0 || offset > INT64_MAX - len) {
        return false;
    }

    flags = fcntl(fd, F_GETFL);

    return flags != -1
           && (flags & O_ACCMODE) != O_WRONLY
           && !(flags & O_PATH)
           && fstat(fd, &st) == 0
           && S_ISREG(st.st_mode);
}


static void
close_file(void *arg, int delivered)
{
    int  fd;

    (void) delivered;

    fd = bridge_file_fd(arg);

    if (fd != -1) {
        (void) close(fd);
    }
}


static bridge_part_t *
new_file(uint64_t handle, int fd, int64_t offset, int64_t len)
{
    file_t         *f;
    bridge_part_t  *p;

    p = malloc(sizeof(bridge_part_t) + sizeof(file_t));
    if (p == NULL) {
        return NULL;
    }

    p->node.kind = BRIDGE_NODE_PART;
    p->task = handle;
    p->bytes = NULL;
    p->len = (size_t) len;
    p->release = close_file;
    p->arg = p;

    f = file_of(p);
    f->offset = offset;
    f->number = 0;
    f->fd = fd;

    return p;
}


/* passes fd on, where the host has others */
static int
pass(bridge_part_t *p, int socket)
{
    file_t  *f;

    f = file_of(p);
    f->number = atomic_fetch_add(&last_number, 1) + 1;

    /* too many are on their way */

    return bridge_pass_send(socket, f->fd, f->number) ? 0 : EMFILE;
}


/* it is on its way, and has no part: that one comes up for nobody */
static void
bring_back(bridge_t *b, bridge_part_t *p)
{
    p->task = 0;
    bridge_up(b, &p->node);
}


int
bridge_file_send(bridge_t *b, uint64_t handle, int fd, int64_t offset,
    int64_t len)
{
    int             rc, socket;
    bool            parted;
    bridge_part_t  *p;

    if (!is_good(fd, offset, len)) {
        return EINVAL;
    }

    rc = bridge_stream_may_add(b, handle, len ? BRIDGE_FILE_COST : 0, true);
    if (rc) {
        return rc;
    }

    if (len == 0) {
        (void) close(fd);
        return 0;
    }

    p = new_file(handle, fd, offset, len);
    if (p == NULL) {
        return ENOMEM;
    }

    parted = bridge_spawn_parted(&socket);

    if (parted) {
        rc = pass(p, socket);

        if (rc) {
            free(p);
            return rc;
        }
    }

    rc = bridge_stream_add(b, handle, p, BRIDGE_FILE_COST);

    if (rc && parted) {
        bring_back(b, p);

    } else if (rc) {
        free(p);

    } else if (parted) {
        (void) close(fd);
    }

    return rc;
}


static void
put_early(uint64_t number, int fd)
{
    early_t  *e;

    e = malloc(sizeof(early_t));

    if (e == NULL) {
        (void) close(fd);
        return;
    }

    e->number = number;
    e->fd = fd;
    e->next = early;
    early = e;
}


static bool
take_early(uint64_t number, int *fd)
{
    early_t  *e, **link;

    for (link = &early; (e = *link) != NULL; link = &e->next) {
        if (e->number == number) {
            *link = e->next;
            *fd = e->fd;
            free(e);
            return true;
        }
    }

    return false;
}


/* threads send in any order; -1: there is no such one */
static int
receive(uint64_t wanted)
{
    int       fd, socket;
    uint64_t  number;

    if (take_early(wanted, &fd)) {
        return fd;
    }

    socket = bridge_spawn_socket();

    if (socket == -1) {
        return -1;
    }

    for ( ;; ) {
        fd = bridge_pass_receive(socket, &number);

        if (number == wanted || number == UINT64_MAX) {
            return fd;
        }

        if (fd != -1) {
            put_early(number, fd);
        }
    }
}


int
bridge_file_fd(bridge_part_t *p)
{
    file_t  *f;

    f = file_of(p);

    if (f->number) {
        f->fd = receive(f->number);
        f->number = 0;
    }

    return f->fd;
}


int64_t
bridge_file_offset(const bridge_part_t *p)
{
    return file_of(p)->offset;
}
