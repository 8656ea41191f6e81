/* SPDX-License-Identifier: BSD-2-Clause */

#include "names.h"

#include <string.h>


static const char *const  often[] = {
    "accept", "accept-charset", "accept-encoding", "accept-language",
    "authorization", "cache-control", "connection", "content-length",
    "content-type", "cookie", "dnt", "expect", "forwarded", "from", "host",
    "if-match", "if-modified-since", "if-none-match", "if-range",
    "if-unmodified-since", "origin", "pragma", "priority", "range", "referer",
    "sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform", "sec-fetch-dest",
    "sec-fetch-mode", "sec-fetch-site", "sec-fetch-user", "te", "traceparent",
    "tracestate", "transfer-encoding", "upgrade-insecure-requests",
    "user-agent", "via", "x-csrf-token", "x-csrftoken", "x-forwarded-for",
    "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip",
    "x-request-id", "x-requested-with"
};


static size_t
slot_of(const char *name, size_t len)
{
    size_t    i;
    uint32_t  hash;

    hash = 2166136261u;

    for (i = 0; i < len; i++) {
        hash = (hash ^ (unsigned char) name[i]) * 16777619u;
    }

    return (hash ^ (hash >> 16)) % NAMES_SLOTS;
}


static int
is(const char *name, size_t len, const char *field)
{
    return strlen(field) == len && memcmp(name, field, len) == 0;
}


static PyObject *
variable_new(const char *name, size_t len)
{
    char        *p;
    size_t       i, prefix;
    PyObject    *variable;

    prefix = is(name, len, "content-type") || is(name, len, "content-length")
             ? 0 : 5;

    variable = PyUnicode_New((Py_ssize_t) (prefix + len), 127);
    if (variable == NULL) {
        return NULL;
    }

    p = (char *) PyUnicode_1BYTE_DATA(variable);
    memcpy(p, "HTTP_", prefix);
    p += prefix;

    for (i = 0; i < len; i++) {
        p[i] = name[i] == '-' ? '_' : Py_TOUPPER(name[i]);
    }

    return variable;
}


int
names_init(names_t *names)
{
    size_t     i, slot, len;
    PyObject  *variable;

    for (i = 0; i < sizeof(often) / sizeof(often[0]); i++) {
        len = strlen(often[i]);

        variable = variable_new(often[i], len);
        if (variable == NULL) {
            return -1;
        }

        PyUnicode_InternInPlace(&variable);

        slot = slot_of(often[i], len);

        while (names->variables[slot]) {
            slot = (slot + 1) % NAMES_SLOTS;
        }

        names->fields[slot] = often[i];
        names->variables[slot] = variable;
    }

    return 0;
}


void
names_clear(names_t *names)
{
    size_t  i;

    for (i = 0; i < NAMES_SLOTS; i++) {
        Py_CLEAR(names->variables[i]);
    }
}


PyObject *
names_get(const names_t *names, const char *name, size_t len)
{
    size_t  slot;

    slot = slot_of(name, len);

    while (names->variables[slot]) {
        if (is(name, len, names->fields[slot])) {
            return Py_NewRef(names->variables[slot]);
        }

        slot = (slot + 1) % NAMES_SLOTS;
    }

    return variable_new(name, len);
}
