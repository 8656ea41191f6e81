/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_THREAD_H
#define PYTHON_THREAD_H

/* Threads that run Python, and processes that they fork. */

#include <stdbool.h>

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/*
 * Bytes of stack of each thread that Python starts, and of ours that run
 * Python: 10 000 frames deep, C's among them, is RecursionError's business
 * and no segfault.  Only what is used takes memory.
 */
#define THREAD_STACK  ((size_t) 32 << 20)

/*
 * Any thread; nginx's for a runtime, whose queue is tq (else NULL).  Starts a
 * detached thread with such a stack, which has parted from nginx as all that
 * run Python have (resty_ffi_thread); 0, or an error number.
 */
int thread_start(void *tq, void *(*start)(void *), void *arg);

/*
 * Attaches the calling thread to the interpreter and takes the GIL, and the
 * reverse; they nest.
 */
PyGILState_STATE thread_attach(void);
void thread_detach(PyGILState_STATE state);

/*
 * Before Python starts, once: has thread_end_child know of forks.  false
 * where memory ran out.
 */
bool thread_watch_forks(void);

/*
 * In a child that a handler has forked and that comes back from it: ends the
 * child, which has no business in the worker's loops.  Else does nothing.
 */
void thread_end_child(void);

#endif /* PYTHON_THREAD_H */
