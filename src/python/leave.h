#ifndef PYTHON_LEAVE_H
#define PYTHON_LEAVE_H

/*
 * A thread that does not hold the GIL, once.  Does what Python does at its
 * end, short of finalizing the interpreter, on a thread of its own: waits for
 * threads that are not daemons, runs what atexit has registered, flushes
 * files.  Tells error.log, with their Python stacks, of threads that have
 * polled and not ended, and of what has not ended in time.  Returns within
 * timeout_ms milliseconds, whatever Python does.
 */
void leave(int timeout_ms);

#endif /* PYTHON_LEAVE_H */
