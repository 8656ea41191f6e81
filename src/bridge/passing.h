/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef BRIDGE_PASSING_H
#define BRIDGE_PASSING_H

/*
 * Descriptors on their way between threads that share none, through a pair of
 * sockets of SOCK_SEQPACKET.  Each has a number to receive it by.  Any thread.
 * None blocks.
 */

#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

/* The receiver gets one of its own; false, with errno, if it gets none. */
bool bridge_pass_send(int socket, int fd, uint64_t number);

/*
 * The next one, and its number, UINT64_MAX if there is none; -1 then, and if
 * there is no room for a descriptor.
 */
int bridge_pass_receive(int socket, uint64_t *number);

#pragma GCC visibility pop

#endif /* BRIDGE_PASSING_H */
