/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef BRIDGE_SPAWN_H
#define BRIDGE_SPAWN_H

/*
 * Threads of runtimes that share neither descriptors nor umask nor working
 * directory with the host: what they close is theirs, and so is what their
 * children inherit.
 *
 * One thread, the spawner, has parted from the host and starts them all.
 * What they start themselves has parted, too.  Where the system refuses that,
 * they share all with the host, whose umask is set; the log says so.
 */

#include "bridge.h"

#pragma GCC visibility push(hidden)

/*
 * Host thread, before the first spawn.  mask: the umask of such threads.
 * kept: an eventfd of the host's that they have under the same number.
 */
void bridge_spawn_init(int mask, int kept);

/*
 * Starts a detached thread with stack bytes of stack (0: the default).
 * 0, or an error number.  Any thread; the host's where q is given (else
 * NULL): the queue of the runtime whose threads it and its children are.
 */
int bridge_spawn(bridge_t *b, bridge_queue_t *q, void *(*start)(void *arg),
    void *arg, size_t stack);

/* Host thread.  Soon closes an eventfd of such threads. */
void bridge_spawn_close(int fd);

/* Host thread.  Soon fd is what such threads have for stderr, too. */
void bridge_spawn_stderr(int fd);

/*
 * Any thread.  Whether the calling one has other descriptors than the host;
 * *socket: where those that are passed go then, -1 if that has been closed.
 */
bool bridge_spawn_parted(int *socket);

/* Host thread.  And where they come; -1. */
int bridge_spawn_socket(void);

#pragma GCC visibility pop

#endif /* BRIDGE_SPAWN_H */
