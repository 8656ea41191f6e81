/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_PENDING_H
#define PYTHON_PENDING_H

/*
 * What C extensions queue for Python's main thread by Py_AddPendingCall:
 * greenlet's clean-up after a thread that has ended, for one.
 *
 * CPython runs it when that thread runs Python code, which ours never does,
 * and has nobody told of it.  So this library has a Py_AddPendingCall of its
 * own, which the dynamic linker finds before libpython's: it hands on, and
 * wakes the main thread.
 */

#include <stdbool.h>

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/*
 * Before Python starts.  Puts this library and libpython into the global
 * scope, in this order; false where it failed, and can be tried again.
 */
bool pending_prepare(void);

/*
 * After that.  Whether extensions find ours; not so where libpython was in
 * the global scope before.
 */
bool pending_is_noticed(void);

/*
 * Python's main thread, which has given up the GIL and state with it: sleeps,
 * and runs what is queued.  Exceptions are written to stderr.
 */
_Noreturn void pending_run(PyThreadState *state);

#endif /* PYTHON_PENDING_H */
