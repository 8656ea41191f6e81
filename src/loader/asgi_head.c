/* SPDX-License-Identifier: BSD-2-Clause */

#include "asgi_head.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "resty_ffi.h"


#define MAX_ON_STACK  32

#define UPGRADE     101
#define HINTS       103
#define MIN_STATUS  200
#define MAX_STATUS  999


/* pairs: what the texts are in */
typedef struct {
    PyObject            *pairs;
    size_t               n;
    resty_ffi_header_t  *all;
    resty_ffi_header_t   few[MAX_ON_STACK];
} headers_t;


static int
take_status(PyObject *object, int *status)
{
    int   overflow;
    long  number;

    if (!PyLong_Check(object)) {
        PyErr_Format(PyExc_TypeError, "the status of an answer is %.100s, not "
                     "int", Py_TYPE(object)->tp_name);
        return -1;
    }

    number = PyLong_AsLongAndOverflow(object, &overflow);

    if (overflow || number < MIN_STATUS || number > MAX_STATUS) {
        PyErr_Format(PyExc_ValueError, "the status %S is not of %d to %d",
                     object, MIN_STATUS, MAX_STATUS);
        return -1;
    }

    *status = (int) number;

    return 0;
}


static int
take_text(PyObject *pair, int i, const char **data, size_t *len)
{
    PyObject  *text;

    text = PyTuple_GET_ITEM(pair, i);

    if (!PyBytes_Check(text)) {
        PyErr_Format(PyExc_TypeError, "the %s of header %R is %.100s, not "
                     "bytes", i ? "value" : "name", PyTuple_GET_ITEM(pair, 0),
                     Py_TYPE(text)->tp_name);
        return -1;
    }

    *data = PyBytes_AS_STRING(text);
    *len = (size_t) PyBytes_GET_SIZE(text);

    return 0;
}


/* puts a tuple in the place of an item, which may be one that changes */
static int
take_header(PyObject *pairs, Py_ssize_t i, resty_ffi_header_t *header)
{
    PyObject  *item, *pair;

    item = PyList_GET_ITEM(pairs, i);

    if (!PyTuple_CheckExact(item)) {
        pair = PySequence_Tuple(item);

        if (pair == NULL) {
            if (PyErr_ExceptionMatches(PyExc_TypeError)) {
                PyErr_Format(PyExc_TypeError, "a header is %.100s, not a pair "
                             "of a name and a value", Py_TYPE(item)->tp_name);
            }

            return -1;
        }

        if (PyList_SetItem(pairs, i, pair) == -1) {
            return -1;
        }

        item = pair;
    }

    if (PyTuple_GET_SIZE(item) != 2) {
        PyErr_SetString(PyExc_ValueError,
                        "a header is no pair of a name and a value");
        return -1;
    }

    return take_text(item, 0, &header->name, &header->name_len) == -1
           || take_text(item, 1, &header->value, &header->value_len) == -1
           ? -1 : 0;
}


static int
take_headers(headers_t *headers, PyObject *given)
{
    Py_ssize_t  i, n;

    headers->pairs = PySequence_List(given);

    if (headers->pairs == NULL) {
        if (PyErr_ExceptionMatches(PyExc_TypeError)
            && Py_TYPE(given)->tp_iter == NULL && !PySequence_Check(given))
        {
            PyErr_Format(PyExc_TypeError, "the headers of an answer are "
                         "%.100s, not iterable", Py_TYPE(given)->tp_name);
        }

        return -1;
    }

    n = PyList_GET_SIZE(headers->pairs);

    if (n > MAX_ON_STACK) {
        headers->all = malloc((size_t) n * sizeof(resty_ffi_header_t));
        if (headers->all == NULL) {
            (void) PyErr_NoMemory();
            return -1;
        }
    }

    for (i = 0; i < n; i++) {
        if (take_header(headers->pairs, i, &headers->all[i]) == -1) {
            return -1;
        }
    }

    headers->n = (size_t) n;

    return 0;
}


/* as the bridge has it */
static bool
is_token(const char *text, size_t len)
{
    size_t         i;
    unsigned char  c;

    for (i = 0; i < len; i++) {
        c = (unsigned char) text[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z')
            && !(c >= '0' && c <= '9')
            && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
        {
            return false;
        }
    }

    return len > 0;
}


/* which of them is none; the bridge has looked before */
static void
set_refused(const headers_t *headers)
{
    size_t                     i;
    PyObject                  *name;
    const char                *value;
    const resty_ffi_header_t  *h;

    for (i = 0; i < headers->n; i++) {
        h = &headers->all[i];
        name = PyTuple_GET_ITEM(PyList_GET_ITEM(headers->pairs,
                                                (Py_ssize_t) i), 0);

        if (!is_token(h->name, h->name_len)) {
            PyErr_Format(PyExc_ValueError, "the name of header %R is no "
                         "token", name);
            return;
        }

        value = h->value;

        if (memchr(value, '\r', h->value_len)
            || memchr(value, '\n', h->value_len)
            || memchr(value, '\0', h->value_len))
        {
            PyErr_Format(PyExc_ValueError, "the value of header %R has a line "
                         "break or NUL", name);
            return;
        }
    }

    PyErr_SetString(PyExc_ValueError, "the headers of an answer have more "
                    "than 1 MiB");
}


/* status 0: trailers */
static int
send_headers(void *task, int status, PyObject *given)
{
    int        rc;
    headers_t  headers;

    headers.n = 0;
    headers.pairs = NULL;
    headers.all = headers.few;

    rc = take_headers(&headers, given);
    if (rc == -1) {
        goto done;
    }

    rc = status ? resty_ffi_send_head(task, status, headers.all, headers.n)
                : resty_ffi_send_trailers(task, headers.all, headers.n);

    if (rc == ENOMEM) {
        (void) PyErr_NoMemory();
        rc = -1;

    } else if (rc != 0 && rc != EPIPE) {
        set_refused(&headers);
        rc = -1;
    }

done:

    if (headers.all != headers.few) {
        free(headers.all);
    }

    Py_XDECREF(headers.pairs);

    return rc;
}


int
asgi_head_send(void *task, PyObject *status, PyObject *headers)
{
    int  number;

    return take_status(status, &number) == -1
           ? -1 : send_headers(task, number, headers);
}


int
asgi_upgrade_send(void *task, PyObject *headers)
{
    return send_headers(task, UPGRADE, headers);
}


int
asgi_hints_send(void *task, PyObject *headers)
{
    return send_headers(task, HINTS, headers);
}


int
asgi_trailers_send(void *task, PyObject *headers)
{
    return send_headers(task, 0, headers);
}
