/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_LEAVE_H
#define PYTHON_LEAVE_H

/*
 * A thread that does not hold the GIL, once.  Does what Python does at its
 * end, short of finalizing the interpreter, on a thread of its own: waits for
 * threads of runtimes, and then of thread pools and those that are not
 * daemons; runs what atexit has registered, for which it keeps a second, but
 * not more than half of the time; flushes files.  Tells error.log of what has
 * not ended in time: threads with their Python stacks, tasks of event loops.
 * Returns within timeout_ms milliseconds, whatever Python does.
 */
void leave(int timeout_ms);

#endif /* PYTHON_LEAVE_H */
