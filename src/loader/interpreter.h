/* SPDX-License-Identifier: BSD-2-Clause */

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
 * GIL held, interpreter started.  The module resty_ffi._loader.bootstrap,
 * compiled into this library as all of its folder is; a new reference.
 */
PyObject *interpreter_bootstrap(void);

#endif /* PYTHON_INTERPRETER_H */
