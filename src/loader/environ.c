/* SPDX-License-Identifier: BSD-2-Clause */

#include "environ.h"

#include <stdbool.h>
#include <string.h>


/* WSGI's strings have a byte in each character */
static int
put(PyObject *environ, const char *key, const char *data, size_t len)
{
    int        rc;
    PyObject  *value;

    value = PyUnicode_DecodeLatin1(data, (Py_ssize_t) len, NULL);
    if (value == NULL) {
        return -1;
    }

    rc = PyDict_SetItemString(environ, key, value);
    Py_DECREF(value);

    return rc;
}


static int
put_text(PyObject *environ, const char *key, const resty_ffi_head_t *head,
    resty_ffi_text_t text)
{
    return put(environ, key, RESTY_FFI_TEXT(head, text), text.len);
}


static int
put_number(PyObject *environ, const char *key, uint32_t number)
{
    int   n;
    char  text[16];

    n = snprintf(text, sizeof(text), "%u", number);

    return put(environ, key, text, (size_t) n);
}


/* the variable's name: a new str; NULL with an exception set */
static PyObject *
variable(const char *name, size_t len)
{
    static const char *const  plain[] = { "content-type", "content-length" };

    char       *p;
    size_t      i;
    PyObject   *key;
    Py_ssize_t  skipped;

    skipped = 0;

    for (i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        if (len == strlen(plain[i]) && memcmp(name, plain[i], len) == 0) {
            skipped = 5;
        }
    }

    key = PyUnicode_New(5 - skipped + (Py_ssize_t) len, 127);
    if (key == NULL) {
        return NULL;
    }

    p = (char *) PyUnicode_1BYTE_DATA(key);

    if (skipped == 0) {
        p = mempcpy(p, "HTTP_", 5);
    }

    for (i = 0; i < len; i++) {
        p[i] = name[i] == '-' ? '_' : Py_TOUPPER(name[i]);
    }

    return key;
}


/* joins it to what other fields of this name have had */
static int
put_field(PyObject *environ, PyObject *key, const char *data, size_t len,
    bool is_cookie)
{
    int        rc;
    PyObject  *value, *before, *joined;

    value = PyUnicode_DecodeLatin1(data, (Py_ssize_t) len, NULL);
    if (value == NULL) {
        return -1;
    }

    before = PyDict_GetItemWithError(environ, key);

    if (before) {
        joined = PyUnicode_FromFormat("%U%s%U", before,
                                      is_cookie ? "; " : ",", value);
        Py_DECREF(value);
        value = joined;
    }

    rc = value && !PyErr_Occurred() ? PyDict_SetItem(environ, key, value)
                                    : -1;
    Py_XDECREF(value);

    return rc;
}


/*
 * Names with an underscore, where nginx lets them in, would be taken for those
 * with a hyphen, which others may rely on.
 */
static int
put_fields(PyObject *environ, const resty_ffi_head_t *head)
{
    int                       rc;
    uint32_t                  i, j, len;
    PyObject                 *key;
    const char               *name;
    const resty_ffi_field_t  *fields;

    fields = RESTY_FFI_FIELDS(head);

    for (i = 0; i < head->nfields; i++) {
        name = RESTY_FFI_TEXT(head, fields[i].name);
        len = fields[i].name.len;

        for (j = 0; j < len; j++) {
            if (name[j] == '_' || (unsigned char) name[j] > 126) {
                break;
            }
        }

        if (j < len) {
            continue;
        }

        key = variable(name, len);
        if (key == NULL) {
            return -1;
        }

        rc = put_field(environ, key, RESTY_FFI_TEXT(head, fields[i].value),
                       fields[i].value.len,
                       len == 6 && memcmp(name, "cookie", 6) == 0);
        Py_DECREF(key);

        if (rc == -1) {
            return -1;
        }
    }

    return 0;
}


/* the host of the Host field, without its port */
static int
put_server(PyObject *environ, const resty_ffi_head_t *head)
{
    char         *end;
    uint32_t      i;
    size_t        len;
    const char   *host;
    const char   *data;

    const resty_ffi_field_t  *fields;

    host = RESTY_FFI_TEXT(head, head->server);
    len = head->server.len;
    fields = RESTY_FFI_FIELDS(head);

    for (i = 0; i < head->nfields; i++) {
        data = RESTY_FFI_TEXT(head, fields[i].name);

        if (fields[i].name.len == 4 && memcmp(data, "host", 4) == 0
            && fields[i].value.len)
        {
            host = RESTY_FFI_TEXT(head, fields[i].value);
            len = fields[i].value.len;

            end = *host == '[' ? memchr(host, ']', len) : NULL;
            end = memchr(end ? end : host, ':',
                         end ? len - (size_t) (end - host) : len);
            if (end) {
                len = (size_t) (end - host);
            }

            break;
        }
    }

    return put(environ, "SERVER_NAME", host, len);
}


static int
put_path(PyObject *environ, const resty_ffi_head_t *head)
{
    size_t  prefix;

    prefix = head->root_path.len;

    if (prefix > head->path.len) {
        prefix = 0;
    }

    return put(environ, "SCRIPT_NAME", RESTY_FFI_TEXT(head, head->path),
               prefix) == -1
           || put(environ, "PATH_INFO",
                  RESTY_FFI_TEXT(head, head->path) + prefix,
                  head->path.len - prefix) == -1
           ? -1 : 0;
}


static int
put_uri(PyObject *environ, const resty_ffi_head_t *head)
{
    int        rc;
    PyObject  *uri, *raw, *query;

    raw = PyUnicode_DecodeLatin1(RESTY_FFI_TEXT(head, head->raw_path),
                                 head->raw_path.len, NULL);
    query = PyUnicode_DecodeLatin1(RESTY_FFI_TEXT(head, head->query),
                                   head->query.len, NULL);
    uri = raw && query ? PyUnicode_FromFormat(head->query.len ? "%U?%U" : "%U",
                                              raw, query)
                       : NULL;

    rc = uri ? PyDict_SetItemString(environ, "REQUEST_URI", uri) : -1;

    Py_XDECREF(raw);
    Py_XDECREF(query);
    Py_XDECREF(uri);

    return rc;
}


static int
put_params(PyObject *environ, const resty_ffi_head_t *head)
{
    uint32_t                  i;
    const resty_ffi_field_t  *params;

    params = RESTY_FFI_PARAMS(head);

    for (i = 0; i < head->nparams; i++) {
        if (put_text(environ, RESTY_FFI_TEXT(head, params[i].name), head,
                     params[i].value) == -1)
        {
            return -1;
        }
    }

    return 0;
}


PyObject *
environ_new(const resty_ffi_head_t *head)
{
    char       protocol[16];
    int        n;
    PyObject  *environ;

    environ = PyDict_New();
    if (environ == NULL) {
        return NULL;
    }

    n = snprintf(protocol, sizeof(protocol), "HTTP/%.8s",
                 RESTY_FFI_TEXT(head, head->protocol));

    if (put_text(environ, "REQUEST_METHOD", head, head->method) == -1
        || put_path(environ, head) == -1
        || put_uri(environ, head) == -1
        || put_text(environ, "QUERY_STRING", head, head->query) == -1
        || put(environ, "SERVER_PROTOCOL", protocol, (size_t) n) == -1
        || put_server(environ, head) == -1
        || put_number(environ, "SERVER_PORT", head->server_port) == -1
        || put_text(environ, "REMOTE_ADDR", head, head->client) == -1
        || put_number(environ, "REMOTE_PORT", head->client_port) == -1
        || put_text(environ, "wsgi.url_scheme", head, head->scheme) == -1
        || put_fields(environ, head) == -1
        || put_params(environ, head) == -1)
    {
        Py_CLEAR(environ);
    }

    return environ;
}
