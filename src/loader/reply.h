/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_REPLY_H
#define PYTHON_REPLY_H

/*
 * Answers on their way to Lua.  nginx's thread reads a Python object's bytes
 * where they are, and cannot give the reference back: that needs the GIL.
 * So it puts the reply on a list, which the runtime's threads empty when
 * they have the GIL anyway.
 */

#include <stdbool.h>

#define PY_SSIZE_T_CLEAN
#include <Python.h>

typedef struct replies_s  replies_t;

/*
 * The list of one runtime.  NULL where memory ran out.  It frees itself when
 * it has been closed and the last reply has come back, or never, where a
 * reply never comes back.
 */
replies_t *replies_new(void *tq);

/* GIL held.  No more replies will be sent. */
void replies_close(replies_t *replies);

/* GIL held.  Replies that have not been collected. */
Py_ssize_t replies_outstanding(const replies_t *replies);

/*
 * GIL held.  Gives the references back of all that have been delivered or
 * cancelled so far, and calls their callbacks with True or False.
 */
void replies_collect(replies_t *replies);

/*
 * GIL held.  Answers the task with value: None, bytes, str or a contiguous
 * buffer, of which a reference is kept; callbacks: as of reply_tell, or NULL.
 * 0; or -1 with an exception set and the task not answered: TypeError
 * without arguments where value is of none of these types.
 */
int reply_send(replies_t *replies, void *task, int rc, PyObject *value,
    PyObject *callbacks);

/*
 * GIL held.  Sends value as a part of the answer, of the same types; one of no
 * bytes is sent nowhere.  *callbacks: as of reply_send; taken over, and NULL
 * then, where the part is sent.  0, EAGAIN or EPIPE, as of resty_ffi_send; or
 * -1 as of reply_send.  Nothing is kept but where it returns 0.
 */
int reply_send_part(replies_t *replies, void *task, PyObject *part,
    PyObject **callbacks);

/*
 * GIL held.  Has callbacks, which it takes over, told soon that nothing was
 * delivered.  An exception that is set stays.
 */
void reply_unsent(replies_t *replies, PyObject *callbacks);

/*
 * GIL held.  Tells callbacks, a list of (callback, context), of an answer's
 * fate, each in its context; what they raise is printed.
 */
void reply_tell(PyObject *callbacks, bool delivered);

#endif /* PYTHON_REPLY_H */
