#ifndef PYTHON_INTERPRETER_H
#define PYTHON_INTERPRETER_H

/*
 * The one interpreter of the process.  It is started by the first load and
 * lives as long as the process: never finalized, never started again.
 */

#include <stdbool.h>

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/*
 * Bytes of stack of each thread that Python starts, and of ours that run
 * Python: 10 000 frames deep, C's among them, is RecursionError's business
 * and no segfault.  Only what is used takes memory.
 */
#define INTERPRETER_STACK  ((size_t) 32 << 20)

/*
 * Any thread; nginx's for a runtime, whose queue is tq (else NULL).  Starts a
 * detached thread with such a stack, which has parted from nginx as all that
 * run Python have (resty_ffi_thread); 0, or an error number.
 */
int interpreter_thread(void *tq, void *(*start)(void *), void *arg);

/*
 * Any thread that does not hold the GIL.  Starts the interpreter where it
 * has not been, on a thread of its own that stays Python's main thread.
 * false, with the reason in why (size bytes, a C string), where it could not
 * start.  The next call tries again, unless CPython itself could not: then it
 * tells why again.
 */
bool interpreter_start(char *why, size_t size);

/* Any thread.  Whether it has been started, and could be. */
bool interpreter_running(void);

/*
 * In a child that a handler has forked and that comes back from it: ends the
 * child, which has no business in the worker's loops.  Else does nothing.
 */
void interpreter_end_child(void);

/*
 * Attaches the calling thread to the interpreter and takes the GIL, and the
 * reverse; they nest.
 */
PyGILState_STATE interpreter_attach(void);
void interpreter_detach(PyGILState_STATE state);

/*
 * GIL held, interpreter started.  The module resty_ffi._loader.bootstrap,
 * compiled into this library as all of its folder is; a new reference.
 */
PyObject *interpreter_bootstrap(void);

#endif /* PYTHON_INTERPRETER_H */
