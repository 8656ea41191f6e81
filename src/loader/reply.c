/* SPDX-License-Identifier: BSD-2-Clause */

#include "reply.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "resty_ffi.h"


/* below this a copy costs less than a reference's way there and back */
#define COPY_BELOW    160

/* the same of a part, which is one node either way */
#define COPY_PART_BELOW  512

/* from here on a reference is worth a wake-up to give it back at once */
#define EAGER_FROM    65536

#define MAX_FREE      1024


typedef struct reply_s  reply_t;

struct reply_s {
    reply_t     *next;
    replies_t   *owner;
    PyObject    *object;        /* NULL: none, or view */
    PyObject    *callbacks;     /* a list, or NULL */
    Py_buffer    view;          /* view.obj NULL: none */
    bool         eager;
    bool         delivered;
};


struct replies_s {
    _Atomic(reply_t *)  back;           /* pushed by nginx's thread */
    void               *tq;

    /* guarded by the GIL */
    reply_t            *free;
    Py_ssize_t          nfree;
    Py_ssize_t          outstanding;
    bool                closed;
};


replies_t *
replies_new(void *tq)
{
    replies_t  *replies;

    replies = calloc(1, sizeof(replies_t));
    if (replies) {
        replies->tq = tq;
    }

    return replies;
}


static void
free_if_closed(replies_t *replies)
{
    reply_t  *reply, *next;

    if (!replies->closed || replies->outstanding) {
        return;
    }

    for (reply = replies->free; reply; reply = next) {
        next = reply->next;
        free(reply);
    }

    free(replies);
}


void
replies_close(replies_t *replies)
{
    replies->closed = true;
    replies_collect(replies);
}


Py_ssize_t
replies_outstanding(const replies_t *replies)
{
    return replies->outstanding;
}


static void
tell(PyObject *callback, PyObject *context, bool delivered)
{
    PyObject  *result;

    if (PyContext_Enter(context) == -1) {
        PyErr_WriteUnraisable(callback);
        return;
    }

    result = PyObject_CallOneArg(callback, delivered ? Py_True : Py_False);

    if (PyContext_Exit(context) == -1) {
        Py_CLEAR(result);
    }

    if (result == NULL) {
        PyErr_WriteUnraisable(callback);
    }

    Py_XDECREF(result);
}


void
reply_tell(PyObject *callbacks, bool delivered)
{
    Py_ssize_t   i;
    PyObject    *pair;

    for (i = 0; i < PyList_GET_SIZE(callbacks); i++) {
        pair = PyList_GET_ITEM(callbacks, i);

        tell(PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1), delivered);
    }
}


static void
put_back(replies_t *replies, reply_t *reply)
{
    replies->outstanding--;

    if (replies->nfree == MAX_FREE) {
        free(reply);
        return;
    }

    reply->next = replies->free;
    replies->free = reply;
    replies->nfree++;
}


void
replies_collect(replies_t *replies)
{
    reply_t   *reply, *next;
    PyObject  *type, *value, *traceback;

    reply = NULL;

    if (atomic_load_explicit(&replies->back, memory_order_relaxed)) {
        reply = atomic_exchange_explicit(&replies->back, NULL,
                                         memory_order_acquire);
    }

    if (reply) {
        PyErr_Fetch(&type, &value, &traceback);

        for ( /* void */ ; reply; reply = next) {
            PyObject   *object = reply->object;
            PyObject   *callbacks = reply->callbacks;
            Py_buffer   view = reply->view;
            bool        delivered = reply->delivered;

            next = reply->next;

            /* what is called here may send replies of its own */

            put_back(replies, reply);

            if (callbacks) {
                reply_tell(callbacks, delivered);
                Py_DECREF(callbacks);
            }

            Py_XDECREF(object);

            if (view.obj) {
                PyBuffer_Release(&view);
            }
        }

        PyErr_Restore(type, value, traceback);
    }

    free_if_closed(replies);
}


/* nginx's thread, or (refused) the one that sends */
static void
release(void *arg, int delivered)
{
    bool        eager;
    void       *tq;
    reply_t    *reply = arg, *head;
    replies_t  *owner = reply->owner;

    /* the last one back may take the list with it */

    tq = owner->tq;
    eager = reply->eager;
    reply->delivered = delivered != 0;

    head = atomic_load_explicit(&owner->back, memory_order_relaxed);

    do {
        reply->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&owner->back, &head,
                                                    reply,
                                                    memory_order_release,
                                                    memory_order_relaxed));

    if (eager) {
        resty_ffi_kick(tq);
    }
}


static reply_t *
reply_new(replies_t *replies)
{
    reply_t  *reply;

    reply = replies->free;

    if (reply) {
        replies->free = reply->next;
        replies->nfree--;

    } else {
        reply = malloc(sizeof(reply_t));
        if (reply == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
    }

    reply->owner = replies;
    reply->object = NULL;
    reply->callbacks = NULL;
    reply->view.obj = NULL;

    replies->outstanding++;

    return reply;
}


/*
 * Where the bytes of a value are: *bytes (NULL for None) and *len; *view holds
 * them where its obj is not NULL.  0; -1 as of reply_send.
 */
static int
look_at(PyObject *value, Py_buffer *view, const char **bytes, Py_ssize_t *len)
{
    view->obj = NULL;
    *bytes = NULL;
    *len = 0;

    if (PyBytes_Check(value)) {
        *bytes = PyBytes_AS_STRING(value);
        *len = PyBytes_GET_SIZE(value);

    } else if (PyUnicode_Check(value)) {
        *bytes = PyUnicode_AsUTF8AndSize(value, len);
        if (*bytes == NULL) {
            return -1;
        }

    } else if (PyObject_CheckBuffer(value)) {
        if (PyObject_GetBuffer(value, view, PyBUF_SIMPLE) == -1) {
            return -1;
        }

        *bytes = view->buf ? view->buf : "";
        *len = view->len;

    } else if (value != Py_None) {
        PyErr_SetNone(PyExc_TypeError);
        return -1;
    }

    return 0;
}


static void
look_away(Py_buffer *view)
{
    if (view->obj) {
        PyBuffer_Release(view);
    }
}


/* has a reply keep what it was looked at: value, or view */
static void
keep(reply_t *reply, PyObject *value, const Py_buffer *view)
{
    if (view->obj) {
        reply->view = *view;

    } else {
        reply->object = Py_NewRef(value);
    }
}


int
reply_send(replies_t *replies, void *task, int rc, PyObject *value,
    PyObject *callbacks)
{
    reply_t     *reply;
    Py_buffer    view;
    Py_ssize_t   len;
    const char  *bytes;

    if (look_at(value, &view, &bytes, &len) == -1) {
        return -1;
    }

    if (callbacks == NULL && len < COPY_BELOW) {

        if (bytes) {
            resty_ffi_respond_copy(task, rc, bytes, (size_t) len);

        } else {
            ngx_http_lua_ffi_respond(task, rc, NULL, 0);
        }

        look_away(&view);

        return 0;
    }

    reply = reply_new(replies);
    if (reply == NULL) {
        look_away(&view);
        return -1;
    }

    keep(reply, value, &view);

    Py_XINCREF(callbacks);
    reply->callbacks = callbacks;
    reply->eager = callbacks != NULL || len >= EAGER_FROM;

    resty_ffi_respond_ref(task, rc, bytes, (size_t) len, release,
                          reply);

    return 0;
}


int
reply_send_part(replies_t *replies, void *task, PyObject *part,
    PyObject **callbacks)
{
    int          rc;
    reply_t     *reply;
    Py_buffer    view;
    Py_ssize_t   len;
    const char  *bytes;

    if (look_at(part, &view, &bytes, &len) == -1) {
        return -1;
    }

    if (len == 0 || (len < COPY_PART_BELOW && *callbacks == NULL)) {
        rc = resty_ffi_send_copy(task, bytes, (size_t) len);
        look_away(&view);

    } else {
        reply = reply_new(replies);
        if (reply == NULL) {
            look_away(&view);
            return -1;
        }

        keep(reply, part, &view);
        reply->callbacks = *callbacks;
        reply->eager = *callbacks != NULL || len >= EAGER_FROM;

        rc = resty_ffi_send(task, bytes, (size_t) len, release, reply);

        if (rc) {
            Py_XDECREF(reply->object);
            look_away(&view);
            put_back(replies, reply);

        } else {
            *callbacks = NULL;
        }
    }

    if (rc == ENOMEM) {
        PyErr_NoMemory();
        return -1;
    }

    return rc;
}


void
reply_unsent(replies_t *replies, PyObject *callbacks)
{
    reply_t   *reply;
    PyObject  *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);

    reply = reply_new(replies);

    if (reply) {
        reply->callbacks = callbacks;
        reply->eager = true;

        release(reply, 0);

    } else {
        PyErr_Clear();

        reply_tell(callbacks, false);
        Py_DECREF(callbacks);
    }

    PyErr_Restore(type, value, traceback);
}
