/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_GENERATOR_H
#define PYTHON_GENERATOR_H

/* Answers of plain generators: each part that one yields is sent. */

#include "call.h"
#include "streams.h"

/*
 * GIL held.  Has a generator answer the task, in turns of streams, each in
 * context, which no thread is in.  call may be NULL; a generator that has
 * answered it itself may do something else yet.  References are kept of all
 * three.  -1 with an exception set where memory ran out.
 */
int generator_start(streams_t *streams, void *task, PyObject *generator,
    PyObject *context, call_t *call);

#endif /* PYTHON_GENERATOR_H */
