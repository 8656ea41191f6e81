/* SPDX-License-Identifier: BSD-2-Clause */

#include "dict.h"
#include "scope.h"

#include <string.h>


/* a dict with every key that all scopes have, in their order */
static PyObject *
make_template(PyObject **keys)
{
    int        i;
    PyObject  *dict;

    dict = PyDict_New();

    for (i = 0; dict && i < SCOPE_STATE; i++) {
        if (PyDict_SetItem(dict, keys[i], Py_None) == -1) {
            Py_CLEAR(dict);
        }
    }

    return dict;
}


int
scope_init(scope_shared_t *shared)
{
    static const char *const  keys[SCOPE_KEYS] = {
        "type", "http_version", "method", "scheme", "path", "raw_path",
        "query_string", "root_path", "headers", "client", "server", "asgi",
        "extensions", "state", "params", "tls", "http.response.pathsend",
        "http.response.trailers", "websocket.http.response", "subprotocols",
        "http.response.early_hint"
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
    shared->template = make_template(shared->keys);

    return shared->http && shared->websocket && shared->asgi
           && shared->template
           && PyDict_SetItem(shared->template, shared->keys[SCOPE_TYPE],
                             shared->http) == 0
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
    Py_CLEAR(shared->template);

    for (i = 0; i < SCOPE_TEXTS; i++) {
        Py_CLEAR(shared->texts[i]);
    }

    field_names_clear(&shared->names);
    Py_CLEAR(shared->server);
}


int
scope_traverse(scope_shared_t *shared, visitproc visit, void *arg)
{
    Py_VISIT(shared->asgi);
    Py_VISIT(shared->template);
    Py_VISIT(shared->server);
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


/* as text_str, of what is mostly the same as in the request before */
static PyObject *
same_str(scope_shared_t *shared, int which, const resty_ffi_head_t *head,
    resty_ffi_text_t text)
{
    PyObject  *last, *str;

    last = shared->texts[which];

    if (last
        && PyUnicode_IS_ASCII(last)
        && PyUnicode_GET_LENGTH(last) == (Py_ssize_t) text.len
        && memcmp(PyUnicode_1BYTE_DATA(last), RESTY_FFI_TEXT(head, text),
                  text.len) == 0)
    {
        return Py_NewRef(last);
    }

    str = text_str(head, text);

    if (str) {
        Py_XSETREF(shared->texts[which], Py_NewRef(str));
    }

    return str;
}


/* takes both over */
static PyObject *
make_pair(PyObject *first, PyObject *second)
{
    PyObject  *pair;

    pair = first && second ? PyTuple_New(2) : NULL;

    if (pair == NULL) {
        Py_XDECREF(first);
        Py_XDECREF(second);
        return NULL;
    }

    PyTuple_SET_ITEM(pair, 0, first);
    PyTuple_SET_ITEM(pair, 1, second);

    return pair;
}


/* a list of pairs */
static PyObject *
headers(scope_shared_t *shared, const resty_ffi_head_t *head)
{
    uint32_t                  i;
    PyObject                 *list, *pair;
    resty_ffi_text_t          name;
    const resty_ffi_field_t  *fields;

    list = PyList_New(head->nfields);
    if (list == NULL) {
        return NULL;
    }

    fields = RESTY_FFI_FIELDS(head);

    for (i = 0; i < head->nfields; i++) {
        name = fields[i].name;
        pair = make_pair(field_names_get(&shared->names,
                                         RESTY_FFI_TEXT(head, name), name.len),
                         text_bytes(head, fields[i].value));

        if (pair == NULL) {
            Py_DECREF(list);
            return NULL;
        }

        PyList_SET_ITEM(list, i, pair);
    }

    return list;
}


static int
is_unix(const resty_ffi_head_t *head, resty_ffi_text_t host)
{
    return host.len >= 5 && memcmp(RESTY_FFI_TEXT(head, host), "unix:", 5) == 0;
}


/* (host, port), or None */
static PyObject *
client(scope_shared_t *shared, const resty_ffi_head_t *head)
{
    if (is_unix(head, head->client)) {
        Py_RETURN_NONE;
    }

    return make_pair(same_str(shared, SCOPE_TEXT_CLIENT, head, head->client),
                     PyLong_FromUnsignedLong(head->client_port));
}


/* the same; a unix socket's path has the port None */
static PyObject *
server(scope_shared_t *shared, const resty_ffi_head_t *head)
{
    PyObject          *host;
    resty_ffi_text_t   text;

    text = head->server;

    if (is_unix(head, text)) {
        if (text.len == 5) {
            Py_RETURN_NONE;
        }

        text.offset += 5;
        text.len -= 5;

        return make_pair(text_str(head, text), Py_NewRef(Py_None));
    }

    host = same_str(shared, SCOPE_TEXT_SERVER, head, text);

    if (host
        && shared->server
        && host == PyTuple_GET_ITEM(shared->server, 0)
        && shared->port == head->server_port)
    {
        Py_DECREF(host);
        return Py_NewRef(shared->server);
    }

    shared->port = head->server_port;
    Py_XSETREF(shared->server,
               make_pair(host, PyLong_FromUnsignedLong(shared->port)));

    return Py_XNewRef(shared->server);
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


static int
offer(PyObject *extensions, PyObject *name)
{
    return dict_put(extensions, name, PyDict_New());
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
         ? offer(extensions, keys[SCOPE_DENIAL]) == -1
         : offer(extensions, keys[SCOPE_PATHSEND]) == -1
           || offer(extensions, keys[SCOPE_TRAILERS]) == -1
           || ((head->flags & RESTY_FFI_EARLY_HINTS)
               && offer(extensions, keys[SCOPE_HINTS]) == -1))
        || (head->tls.version
            && dict_put(extensions, keys[SCOPE_TLS], make_tls(head)) == -1))
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
        && dict_put(copy, shared->keys[SCOPE_PARAMS], make_params(head)) == -1)
    {
        Py_CLEAR(copy);
    }

    return dict_put(scope, shared->keys[SCOPE_STATE], copy);
}


static int
put_http(scope_shared_t *shared, PyObject *scope,
    const resty_ffi_head_t *head)
{
    PyObject  **keys = shared->keys;

    return dict_put(scope, keys[SCOPE_METHOD],
                    same_str(shared, SCOPE_TEXT_METHOD, head, head->method))
              == -1
           || dict_put(scope, keys[SCOPE_SCHEME],
                       same_str(shared, SCOPE_TEXT_SCHEME, head, head->scheme))
              == -1
           ? -1 : 0;
}


/* Python code that reads the handshake adds the subprotocols */
static int
put_websocket(scope_shared_t *shared, PyObject *scope,
    const resty_ffi_head_t *head)
{
    PyObject  **keys = shared->keys;

    return PyDict_DelItem(scope, keys[SCOPE_METHOD]) == -1
           || dict_put(scope, keys[SCOPE_TYPE], Py_NewRef(shared->websocket))
              == -1
           || dict_put(scope, keys[SCOPE_SCHEME],
                       PyUnicode_InternFromString(head->scheme.len == 5
                                                  ? "wss" : "ws"))
              == -1
           || dict_put(scope, keys[SCOPE_SUBPROTOCOLS], PyList_New(0)) == -1
           ? -1 : 0;
}


PyObject *
scope_new(scope_shared_t *shared, const resty_ffi_head_t *head,
    PyObject *state)
{
    PyObject   *scope;
    PyObject  **keys = shared->keys;

    scope = PyDict_Copy(shared->template);
    if (scope == NULL) {
        return NULL;
    }

    if ((is_websocket(head) ? put_websocket(shared, scope, head)
                            : put_http(shared, scope, head)) == -1
        || dict_put(scope, keys[SCOPE_HTTP_VERSION],
                    same_str(shared, SCOPE_TEXT_PROTOCOL, head, head->protocol))
           == -1
        || dict_put(scope, keys[SCOPE_PATH], text_str(head, head->path)) == -1
        || dict_put(scope, keys[SCOPE_RAW_PATH],
                    text_bytes(head, head->raw_path)) == -1
        || dict_put(scope, keys[SCOPE_QUERY_STRING],
                    text_bytes(head, head->query)) == -1
        || dict_put(scope, keys[SCOPE_ROOT_PATH],
                    same_str(shared, SCOPE_TEXT_ROOT, head, head->root_path))
           == -1
        || dict_put(scope, keys[SCOPE_HEADERS], headers(shared, head)) == -1
        || dict_put(scope, keys[SCOPE_CLIENT], client(shared, head)) == -1
        || dict_put(scope, keys[SCOPE_SERVER], server(shared, head)) == -1
        || dict_put(scope, keys[SCOPE_ASGI], PyDict_Copy(shared->asgi)) == -1
        || dict_put(scope, keys[SCOPE_EXTENSIONS],
                    make_extensions(shared, head)) == -1
        || put_state(shared, scope, head, state) == -1)
    {
        Py_CLEAR(scope);
    }

    return scope;
}
