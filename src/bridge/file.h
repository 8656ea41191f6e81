/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef BRIDGE_FILE_H
#define BRIDGE_FILE_H

/*
 * Parts of an answer that are ranges of files: parts without bytes, of which
 * len is the length of the range.
 *
 * The descriptor is one of the host's when it has come up.  Where the runtime's
 * threads have others, it goes through a socket, as no thread can open what
 * another one has: /proc would open the file anew, if it may and is there.
 */

#include "send.h"

#pragma GCC visibility push(hidden)

/*
 * Any thread.  As resty_ffi_send_file: 0, EAGAIN, EINVAL, EMFILE, ENOMEM or
 * EPIPE.
 */
int bridge_file_send(bridge_t *b, uint64_t handle, int fd, int64_t offset,
    int64_t len);

/* Any thread.  Whether p is one. */
static inline bool
bridge_part_is_file(const bridge_part_t *p)
{
    return p->bytes == NULL;
}

/* Host thread.  Of such a part, as long as it is there; -1: it got lost. */
int bridge_file_fd(bridge_part_t *p);

/* Host thread.  Where the range begins. */
int64_t bridge_file_offset(const bridge_part_t *p);

#pragma GCC visibility pop

#endif /* BRIDGE_FILE_H */
