/* SPDX-License-Identifier: BSD-2-Clause */

#include "scope.h"

#include <string.h>


/* clients choose the names: there is no end to them */
#define MAX_NAMES   256
#define MAX_NAME    64


int
scope_init(scope_shared_t *shared)
{
    static const char *const  keys[SCOPE_KEYS] = {
        "type", "http_version", "method", "scheme", "path", "raw_path",
        "query_string", "root_path", "headers", "client", "server", "asgi",
        "extensions", "state", "params", "tls", "http.response.pathsend",
        "http.response.trailers", "websocket.http.response", "subprotocols"
    };

    int  i;

    for (i = 0; i < SCOPE_KEYS; i++) {
        shared->keys[i] = PyUnicode_InternFromString(keys[i]);
        if (shared->keys[i] == NULL) {
            return -1;
        }
    }

    shared->http = PyUnicode_InternFromString("http");
    shared->websocket = PyUnicode_InternFromString("websocket");
    shared->asgi = Py_BuildValue("{ssss}", "version", "3.0", "spec_version",
                                 "2.5");
    shared->names = PyDict_New();

    return shared->http && shared->websocket && shared->asgi && shared->names
           ? 0 : -1;
}


void
scope_clear(scope_shared_t *shared)
{
    int  i;

    for (i = 0; i < SCOPE_KEYS; i++) {
        Py_CLEAR(shared->keys[i]);
    }

    Py_CLEAR(shared->http);
    Py_CLEAR(shared->websocket);
    Py_CLEAR(shared->asgi);
    Py_CLEAR(shared->names);
}


int
scope_traverse(scope_shared_t *shared, visitproc visit, void *arg)
{
    Py_VISIT(shared->asgi);
    Py_VISIT(shared->names);
    return 0;
}


static PyObject *
text_str(const resty_ffi_head_t *head, resty_ffi_text_t text)
{
    return PyUnicode_DecodeUTF8(RESTY_FFI_TEXT(head, text), text.len,
                                "replace");
}


static PyObject *
text_bytes(const resty_ffi_head_t *head, resty_ffi_text_t text)
{
    return PyBytes_FromStringAndSize(RESTY_FFI_TEXT(head, text), text.len);
}


/* the bytes of a name that has been seen before, where it is short */
static PyObject *
name_bytes(scope_shared_t *shared, const resty_ffi_head_t *head,
    resty_ffi_text_t text)
{
    PyObject  *name, *known;

    name = text_bytes(head, text);

    if (name == NULL || text.len > MAX_NAME) {
        return name;
    }

    known = PyDict_GetItemWithError(shared->names, name);

    if (known) {
        Py_DECREF(name);
        return Py_NewRef(known);
    }

    if (PyErr_Occurred()
        || (PyDict_GET_SIZE(shared->names) < MAX_NAMES
            && PyDict_SetItem(shared->names, name, name) == -1))
    {
        Py_CLEAR(name);
    }

    return name;
}


/* a list of pairs */
static PyObject *
headers(scope_shared_t *shared, const resty_ffi_head_t *head)
{
    uint32_t                  i;
    PyObject                 *list, *pair, *name, *value;
    const resty_ffi_field_t  *fields;

    list = PyList_New(head->nfields);
    if (list == NULL) {
        return NULL;
    }

    fields = RESTY_FFI_FIELDS(head);

    for (i = 0; i < head->nfields; i++) {
        name = name_bytes(shared, head, fields[i].name);
        value = text_bytes(head, fields[i].value);
        pair = name && value ? PyTuple_New(2) : NULL;

        if (pair == NULL) {
            Py_XDECREF(name);
            Py_XDECREF(value);
            Py_DECREF(list);
            return NULL;
        }

        PyTuple_SET_ITEM(pair, 0, name);
        PyTuple_SET_ITEM(pair, 1, value);
        PyList_SET_ITEM(list, i, pair);
    }

    return list;
}


/* (host, port), or None; a unix socket's path has the port None */
static PyObject *
address(const resty_ffi_head_t *head, resty_ffi_text_t host, uint32_t port,
    int is_server)
{
    const char  *text;

    text = RESTY_FFI_TEXT(head, host);

    if (host.len >= 5 && memcmp(text, "unix:", 5) == 0) {
        if (!is_server || host.len == 5) {
            Py_RETURN_NONE;
        }

        return Py_BuildValue("(s#O)", text + 5, (Py_ssize_t) host.len - 5,
                             Py_None);
    }

    return Py_BuildValue("(s#I)", text, (Py_ssize_t) host.len, port);
}


/* takes value over; -1 with an exception set, also where value is NULL */
static int
put(PyObject *dict, PyObject *key, PyObject *value)
{
    int  rc;

    rc = value ? PyDict_SetItem(dict, key, value) : -1;
    Py_XDECREF(value);

    return rc;
}


/* None where the text is empty */
static PyObject *
text_or_none(const resty_ffi_head_t *head, resty_ffi_text_t text)
{
    if (text.len == 0) {
        Py_RETURN_NONE;
    }

    return text_str(head, text);
}


/* as the extension "tls" has it; nginx's own certificate is not told */
static PyObject *
make_tls(const resty_ffi_head_t *head)
{
    PyObject               *chain;
    const resty_ffi_tls_t  *tls = &head->tls;

    chain = tls->client_cert.len
            ? Py_BuildValue("[N]", text_str(head, tls->client_cert))
            : PyList_New(0);

    if (chain == NULL) {
        return NULL;
    }

    return Py_BuildValue("{sOsNsNsNsIsN}",
                         "server_cert", Py_None,
                         "client_cert_chain", chain,
                         "client_cert_name",
                         text_or_none(head, tls->client_name),
                         "client_cert_error",
                         text_or_none(head, tls->client_error),
                         "tls_version", (unsigned int) tls->version,
                         "cipher_suite",
                         tls->cipher ? PyLong_FromUnsignedLong(tls->cipher)
                                     : Py_NewRef(Py_None));
}


static int
is_websocket(const resty_ffi_head_t *head)
{
    return (head->flags & RESTY_FFI_UPGRADE) != 0;
}


static PyObject *
make_extensions(scope_shared_t *shared, const resty_ffi_head_t *head)
{
    PyObject   *extensions;
    PyObject  **keys = shared->keys;

    extensions = PyDict_New();
    if (extensions == NULL) {
        return NULL;
    }

    if ((is_websocket(head)
         ? put(extensions, keys[SCOPE_DENIAL], PyDict_New()) == -1
         : put(extensions, keys[SCOPE_PATHSEND], PyDict_New()) == -1
           || put(extensions, keys[SCOPE_TRAILERS], PyDict_New()) == -1)
        || (head->tls.version
            && put(extensions, keys[SCOPE_TLS], make_tls(head)) == -1))
    {
        Py_CLEAR(extensions);
    }

    return extensions;
}


/* a dict of str */
static PyObject *
make_params(const resty_ffi_head_t *head)
{
    uint32_t                  i;
    PyObject                 *dict, *name, *value;
    const resty_ffi_field_t  *params;

    dict = PyDict_New();
    if (dict == NULL) {
        return NULL;
    }

    params = RESTY_FFI_PARAMS(head);

    for (i = 0; i < head->nparams; i++) {
        name = text_str(head, params[i].name);
        value = name ? text_str(head, params[i].value) : NULL;

        if (value == NULL || PyDict_SetItem(dict, name, value) == -1) {
            Py_CLEAR(dict);
        }

        Py_XDECREF(name);
        Py_XDECREF(value);

        if (dict == NULL) {
            return NULL;
        }
    }

    return dict;
}


/* none where there is neither a lifespan's nor anything in nginx.conf */
static int
put_state(scope_shared_t *shared, PyObject *scope,
    const resty_ffi_head_t *head, PyObject *state)
{
    PyObject  *copy;

    if (state == Py_None && head->nparams == 0) {
        return 0;
    }

    copy = state == Py_None ? PyDict_New() : PyDict_Copy(state);

    if (copy && head->nparams
        && put(copy, shared->keys[SCOPE_PARAMS], make_params(head)) == -1)
    {
        Py_CLEAR(copy);
    }

    return put(scope, shared->keys[SCOPE_STATE], copy);
}


static int
put_http(scope_shared_t *shared, PyObject *scope,
    const resty_ffi_head_t *head)
{
    PyObject  **keys = shared->keys;

    return put(scope, keys[SCOPE_TYPE], Py_NewRef(shared->http)) == -1
           || put(scope, keys[SCOPE_METHOD], text_str(head, head->method))
              == -1
           || put(scope, keys[SCOPE_SCHEME], text_str(head, head->scheme))
              == -1
           ? -1 : 0;
}


/* Python code that reads the handshake adds the subprotocols */
static int
put_websocket(scope_shared_t *shared, PyObject *scope,
    const resty_ffi_head_t *head)
{
    PyObject  **keys = shared->keys;

    return put(scope, keys[SCOPE_TYPE], Py_NewRef(shared->websocket)) == -1
           || put(scope, keys[SCOPE_SCHEME],
                  PyUnicode_FromString(head->scheme.len == 5 ? "wss" : "ws"))
              == -1
           || put(scope, keys[SCOPE_SUBPROTOCOLS], PyList_New(0)) == -1
           ? -1 : 0;
}


PyObject *
scope_new(scope_shared_t *shared, const resty_ffi_head_t *head,
    PyObject *state)
{
    PyObject   *scope;
    PyObject  **keys = shared->keys;

    scope = PyDict_New();
    if (scope == NULL) {
        return NULL;
    }

    if ((is_websocket(head) ? put_websocket(shared, scope, head)
                            : put_http(shared, scope, head)) == -1
        || put(scope, keys[SCOPE_HTTP_VERSION],
               text_str(head, head->protocol)) == -1
        || put(scope, keys[SCOPE_PATH], text_str(head, head->path)) == -1
        || put(scope, keys[SCOPE_RAW_PATH],
               text_bytes(head, head->raw_path)) == -1
        || put(scope, keys[SCOPE_QUERY_STRING],
               text_bytes(head, head->query)) == -1
        || put(scope, keys[SCOPE_ROOT_PATH],
               text_str(head, head->root_path)) == -1
        || put(scope, keys[SCOPE_HEADERS], headers(shared, head)) == -1
        || put(scope, keys[SCOPE_CLIENT],
               address(head, head->client, head->client_port, 0)) == -1
        || put(scope, keys[SCOPE_SERVER],
               address(head, head->server, head->server_port, 1)) == -1
        || put(scope, keys[SCOPE_ASGI], PyDict_Copy(shared->asgi)) == -1
        || put(scope, keys[SCOPE_EXTENSIONS],
               make_extensions(shared, head)) == -1
        || put_state(shared, scope, head, state) == -1)
    {
        Py_CLEAR(scope);
    }

    return scope;
}
