/* SPDX-License-Identifier: BSD-2-Clause */

#include "dict.h"
#include "environ.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>


enum {
    REQUEST_METHOD, SCRIPT_NAME, PATH_INFO, QUERY_STRING, REQUEST_URI,
    SERVER_PROTOCOL, SERVER_NAME, SERVER_PORT, REMOTE_ADDR, REMOTE_PORT,
    URL_SCHEME, HTTPS
};

static const char *const  keys[ENVIRON_KEYS] = {
    "REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING",
    "REQUEST_URI", "SERVER_PROTOCOL", "SERVER_NAME", "SERVER_PORT",
    "REMOTE_ADDR", "REMOTE_PORT", "wsgi.url_scheme", "HTTPS"
};

/* values that most requests have */
static const char *const  words[ENVIRON_WORDS] = {
    "GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "http",
    "https", "HTTP/1.1", "HTTP/2.0", "HTTP/1.0", "80", "443"
};

int
environ_init(environ_shared_t *shared, PyObject *base)
{
    size_t  i;

    shared->base = PyDict_Copy(base);
    shared->on = PyUnicode_InternFromString("on");

    if (shared->base == NULL || shared->on == NULL) {
        return -1;
    }

    for (i = 0; i < ENVIRON_KEYS; i++) {
        shared->keys[i] = PyUnicode_InternFromString(keys[i]);
        if (shared->keys[i] == NULL) {
            return -1;
        }
    }

    for (i = 0; i < ENVIRON_WORDS; i++) {
        shared->words[i] = PyUnicode_InternFromString(words[i]);
        if (shared->words[i] == NULL) {
            return -1;
        }
    }

    return names_init(&shared->names);
}


void
environ_clear(environ_shared_t *shared)
{
    size_t  i;

    Py_CLEAR(shared->base);
    Py_CLEAR(shared->on);

    for (i = 0; i < ENVIRON_KEYS; i++) {
        Py_CLEAR(shared->keys[i]);
    }

    for (i = 0; i < ENVIRON_WORDS; i++) {
        Py_CLEAR(shared->words[i]);
    }

    names_clear(&shared->names);
}


/* WSGI's strings have a byte in each character */
static PyObject *
str_new(const char *data, size_t len)
{
    return PyUnicode_DecodeLatin1(data, (Py_ssize_t) len, NULL);
}


static PyObject *
word(const environ_shared_t *shared, const char *data, size_t len)
{
    size_t  i;

    for (i = 0; i < ENVIRON_WORDS; i++) {
        if (data[0] == words[i][0] && strlen(words[i]) == len
            && memcmp(data, words[i], len) == 0)
        {
            return Py_NewRef(shared->words[i]);
        }
    }

    return str_new(data, len);
}


static int
put_text(const environ_shared_t *shared, PyObject *environ, int key,
    const resty_ffi_head_t *head, resty_ffi_text_t text)
{
    return dict_put(environ, shared->keys[key],
                    str_new(RESTY_FFI_TEXT(head, text), text.len));
}


static int
put_word(const environ_shared_t *shared, PyObject *environ, int key,
    const resty_ffi_head_t *head, resty_ffi_text_t text)
{
    return dict_put(environ, shared->keys[key],
                    word(shared, RESTY_FFI_TEXT(head, text), text.len));
}


static int
put_number(const environ_shared_t *shared, PyObject *environ, int key,
    uint32_t number)
{
    int   n;
    char  text[16];

    n = snprintf(text, sizeof(text), "%u", number);

    return dict_put(environ, shared->keys[key], word(shared, text, (size_t) n));
}


/* "1.1" is HTTP/1.1, and "2" HTTP/2.0, as nginx has it */
static int
put_protocol(const environ_shared_t *shared, PyObject *environ,
    const resty_ffi_head_t *head)
{
    int          n;
    char         text[32];
    const char  *version;

    version = RESTY_FFI_TEXT(head, head->protocol);

    n = snprintf(text, sizeof(text), "HTTP/%.8s%s", version,
                 strchr(version, '.') ? "" : ".0");

    return dict_put(environ, shared->keys[SERVER_PROTOCOL],
                    word(shared, text, (size_t) n));
}


static bool
is_https(const resty_ffi_head_t *head)
{
    return head->scheme.len == 5;
}


static bool
is_unix(const char *address, size_t len)
{
    return len >= 5 && memcmp(address, "unix:", 5) == 0;
}


/* the host of the Host field, without its port; else the server's address */
static void
find_host(const resty_ffi_head_t *head, const char **host, size_t *len)
{
    uint32_t                  i;
    const char               *name, *end;
    const resty_ffi_field_t  *fields;

    fields = RESTY_FFI_FIELDS(head);

    for (i = 0; i < head->nfields; i++) {
        name = RESTY_FFI_TEXT(head, fields[i].name);

        if (fields[i].name.len != 4 || memcmp(name, "host", 4) != 0) {
            continue;
        }

        *host = RESTY_FFI_TEXT(head, fields[i].value);
        *len = fields[i].value.len;

        end = **host == '[' ? memchr(*host, ']', *len) : NULL;
        end = end ? end : *host;
        end = memchr(end, ':', *len - (size_t) (end - *host));

        if (end) {
            *len = (size_t) (end - *host);
        }

        if (*len) {
            return;
        }

        break;
    }

    *host = RESTY_FFI_TEXT(head, head->server);
    *len = head->server.len;

    if (*len == 0 || is_unix(*host, *len)) {
        *host = "localhost";
        *len = strlen(*host);
    }
}


static int
put_server(const environ_shared_t *shared, PyObject *environ,
    const resty_ffi_head_t *head)
{
    size_t       len;
    uint32_t     port;
    const char  *host;

    find_host(head, &host, &len);

    port = head->server_port ? head->server_port : is_https(head) ? 443 : 80;

    return dict_put(environ, shared->keys[SERVER_NAME],
                    str_new(host, len)) == -1
           || put_number(shared, environ, SERVER_PORT, port) == -1
           ? -1 : 0;
}


static int
put_client(const environ_shared_t *shared, PyObject *environ,
    const resty_ffi_head_t *head)
{
    if (put_text(shared, environ, REMOTE_ADDR, head, head->client) == -1) {
        return -1;
    }

    return head->client_port
           ? put_number(shared, environ, REMOTE_PORT, head->client_port) : 0;
}


static int
put_scheme(const environ_shared_t *shared, PyObject *environ,
    const resty_ffi_head_t *head)
{
    if (put_word(shared, environ, URL_SCHEME, head, head->scheme) == -1) {
        return -1;
    }

    return is_https(head)
           ? PyDict_SetItem(environ, shared->keys[HTTPS], shared->on) : 0;
}


static int
put_path(const environ_shared_t *shared, PyObject *environ,
    const resty_ffi_head_t *head)
{
    size_t       prefix;
    const char  *path;

    path = RESTY_FFI_TEXT(head, head->path);
    prefix = head->root_path.len <= head->path.len ? head->root_path.len : 0;

    return dict_put(environ, shared->keys[SCRIPT_NAME],
                    str_new(path, prefix)) == -1
           || dict_put(environ, shared->keys[PATH_INFO],
                       str_new(path + prefix, head->path.len - prefix)) == -1
           ? -1 : 0;
}


static bool
is_ascii(const char *text, size_t len)
{
    size_t         i;
    unsigned char  all;

    all = 0;

    for (i = 0; i < len; i++) {
        all |= (unsigned char) text[i];
    }

    return all < 128;
}


static int
put_uri(const environ_shared_t *shared, PyObject *environ,
    const resty_ffi_head_t *head)
{
    char        *p;
    PyObject    *uri;
    const char  *raw, *query;

    raw = RESTY_FFI_TEXT(head, head->raw_path);
    query = RESTY_FFI_TEXT(head, head->query);

    if (head->query.len == 0) {
        return put_text(shared, environ, REQUEST_URI, head, head->raw_path);
    }

    uri = PyUnicode_New((Py_ssize_t) head->raw_path.len + 1
                        + (Py_ssize_t) head->query.len,
                        is_ascii(raw, head->raw_path.len)
                        && is_ascii(query, head->query.len) ? 127 : 255);

    if (uri) {
        p = (char *) PyUnicode_1BYTE_DATA(uri);
        p = mempcpy(p, raw, head->raw_path.len);
        *p++ = '?';
        memcpy(p, query, head->query.len);
    }

    return dict_put(environ, shared->keys[REQUEST_URI], uri);
}


/*
 * Names with an underscore, where nginx lets them in, would be taken for those
 * with a hyphen, which others may rely on; and HTTP_PROXY for what tells
 * children where the network is.
 */
static bool
is_left_out(const char *name, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {
        if (name[i] == '_' || (unsigned char) name[i] > 126) {
            return true;
        }
    }

    return len == 5 && memcmp(name, "proxy", 5) == 0;
}


/* joins it to what other fields of this name have had */
static int
put_field(PyObject *environ, PyObject *key, PyObject *value, bool is_cookie)
{
    PyObject  *before;

    if (value == NULL) {
        return -1;
    }

    before = PyDict_GetItemWithError(environ, key);

    if (before) {
        Py_SETREF(value, PyUnicode_FromFormat("%U%s%U", before,
                                              is_cookie ? "; " : ",", value));

    } else if (PyErr_Occurred()) {
        Py_CLEAR(value);
    }

    return dict_put(environ, key, value);
}


static int
put_fields(const environ_shared_t *shared, PyObject *environ,
    const resty_ffi_head_t *head)
{
    int                       rc;
    uint32_t                  i, len;
    PyObject                 *key;
    const char               *name;
    const resty_ffi_field_t  *fields;

    fields = RESTY_FFI_FIELDS(head);

    for (i = 0; i < head->nfields; i++) {
        name = RESTY_FFI_TEXT(head, fields[i].name);
        len = fields[i].name.len;

        if (is_left_out(name, len)) {
            continue;
        }

        key = names_get(&shared->names, name, len);
        if (key == NULL) {
            return -1;
        }

        rc = put_field(environ, key,
                       str_new(RESTY_FFI_TEXT(head, fields[i].value),
                               fields[i].value.len),
                       len == 6 && memcmp(name, "cookie", 6) == 0);
        Py_DECREF(key);

        if (rc == -1) {
            return -1;
        }
    }

    return 0;
}


/* "on", as nginx's $https is, or empty */
static int
set_scheme(const environ_shared_t *shared, PyObject *environ,
    const resty_ffi_head_t *head, resty_ffi_text_t https)
{
    const char  *text, *scheme;

    text = RESTY_FFI_TEXT(head, https);
    scheme = strcmp(text, "on") == 0 || strcmp(text, "1") == 0 ? "https"
             : https.len == 0 || strcmp(text, "off") == 0 ? "http"
             : NULL;

    return scheme ? dict_put(environ, shared->keys[URL_SCHEME],
                             word(shared, scheme, strlen(scheme)))
                  : 0;
}


static int
put_params(const environ_shared_t *shared, PyObject *environ,
    const resty_ffi_head_t *head)
{
    int                       rc;
    uint32_t                  i;
    PyObject                 *key;
    const char               *name;
    const resty_ffi_field_t  *params;

    params = RESTY_FFI_PARAMS(head);

    for (i = 0; i < head->nparams; i++) {
        name = RESTY_FFI_TEXT(head, params[i].name);

        if (strcmp(name, "HTTPS") == 0
            && set_scheme(shared, environ, head, params[i].value) == -1)
        {
            return -1;
        }

        key = str_new(name, params[i].name.len);
        if (key == NULL) {
            return -1;
        }

        rc = dict_put(environ, key,
                      str_new(RESTY_FFI_TEXT(head, params[i].value),
                              params[i].value.len));
        Py_DECREF(key);

        if (rc == -1) {
            return -1;
        }
    }

    return 0;
}


PyObject *
environ_new(const environ_shared_t *shared, const resty_ffi_head_t *head)
{
    PyObject  *environ;

    environ = PyDict_Copy(shared->base);
    if (environ == NULL) {
        return NULL;
    }

    if (put_word(shared, environ, REQUEST_METHOD, head, head->method) == -1
        || put_path(shared, environ, head) == -1
        || put_uri(shared, environ, head) == -1
        || put_text(shared, environ, QUERY_STRING, head, head->query) == -1
        || put_protocol(shared, environ, head) == -1
        || put_server(shared, environ, head) == -1
        || put_client(shared, environ, head) == -1
        || put_scheme(shared, environ, head) == -1
        || put_fields(shared, environ, head) == -1
        || put_params(shared, environ, head) == -1)
    {
        Py_CLEAR(environ);
    }

    return environ;
}
