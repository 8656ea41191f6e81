/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_SCOPE_H
#define PYTHON_SCOPE_H

/* The head of a web request as ASGI has it.  GIL held. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "field_names.h"
#include "resty_ffi.h"

enum {
    SCOPE_TYPE, SCOPE_HTTP_VERSION, SCOPE_METHOD, SCOPE_SCHEME, SCOPE_PATH,
    SCOPE_RAW_PATH, SCOPE_QUERY_STRING, SCOPE_ROOT_PATH, SCOPE_HEADERS,
    SCOPE_CLIENT, SCOPE_SERVER, SCOPE_ASGI, SCOPE_EXTENSIONS, SCOPE_STATE,
    SCOPE_PARAMS, SCOPE_TLS, SCOPE_PATHSEND, SCOPE_TRAILERS,
    SCOPE_DENIAL, SCOPE_SUBPROTOCOLS, SCOPE_HINTS, SCOPE_KEYS
};

/* What is the same in most requests that follow each other. */
enum {
    SCOPE_TEXT_PROTOCOL, SCOPE_TEXT_METHOD, SCOPE_TEXT_SCHEME,
    SCOPE_TEXT_ROOT, SCOPE_TEXT_CLIENT, SCOPE_TEXT_SERVER, SCOPE_TEXTS
};

/* What all scopes share; zeroed before the first use. */
typedef struct {
    PyObject  *keys[SCOPE_KEYS];
    PyObject  *http;            /* the str "http" */
    PyObject  *websocket;       /* the str "websocket" */
    PyObject  *asgi;            /* dict: the protocol's versions */
    PyObject  *template;        /* dict: what every scope begins as */
    PyObject  *texts[SCOPE_TEXTS];
                                /* str, each the last of its kind, or NULL */
    PyObject  *server;          /* the last pair of address and port, of
                                   texts and port, or NULL */
    uint32_t   port;
    field_names_t  names;       /* of fields */
} scope_shared_t;

/* -1 with an exception set. */
int scope_init(scope_shared_t *shared);
void scope_clear(scope_shared_t *shared);
int scope_traverse(scope_shared_t *shared, visitproc visit, void *arg);

/*
 * ASGI's scope of an HTTP request, or of a WebSocket, where the head has
 * RESTY_FFI_UPGRADE: a new dict, or NULL with an exception set.
 * state: the lifespan's, a dict of which it gets a copy, or None.  What
 * nginx.conf says besides is "params" in it.
 */
PyObject *scope_new(scope_shared_t *shared, const resty_ffi_head_t *head,
    PyObject *state);

#endif /* PYTHON_SCOPE_H */
