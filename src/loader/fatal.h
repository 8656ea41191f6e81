/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_FATAL_H
#define PYTHON_FATAL_H

/*
 * What a signal that ends the worker leaves in error.log: its thread and that
 * one's last web request, and the Python stack, as faulthandler writes it.
 * Then it takes its course: core files are as they would be.
 */

#include "resty_ffi.h"

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* GIL held.  From now on; once does.  -1 with an exception set. */
int fatal_watch(void);

/* Any thread: this request is the calling thread's last.  head is copied. */
void fatal_note(const resty_ffi_head_t *head);

#endif /* PYTHON_FATAL_H */
