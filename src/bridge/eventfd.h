/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef BRIDGE_EVENTFD_H
#define BRIDGE_EVENTFD_H

/*
 * Eventfds whose numbers other code in the process may have closed, and
 * opened files of its own under: nothing is written to those.
 */

#include <stdbool.h>

#pragma GCC visibility push(hidden)

/* Any thread.  A new one, non-blocking and close-on-exec; -1: errno. */
int bridge_eventfd(void);

/*
 * Any thread.  Makes it readable.  false where the number is no eventfd's any
 * more.  (One of another owner takes it for a spurious wake-up.)
 */
bool bridge_eventfd_write(int fd);

/* Any thread.  Takes what is in it, if anything; false likewise. */
bool bridge_eventfd_read(int fd);

/* Any thread.  Closes it, unless the number is no eventfd's any more. */
void bridge_eventfd_close(int fd);

#pragma GCC visibility pop

#endif /* BRIDGE_EVENTFD_H */
