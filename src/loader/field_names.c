/* SPDX-License-Identifier: BSD-2-Clause */

#include <stdint.h>
#include <string.h>

#include "field_names.h"


/* so that nobody fills the memory with long ones */
#define MAX_NAME    64


static uint32_t
hash(const char *text, uint32_t len)
{
    uint32_t  i, h;

    h = UINT32_C(2166136261);

    for (i = 0; i < len; i++) {
        h = (h ^ (unsigned char) text[i]) * UINT32_C(16777619);
    }

    return h ^ (h >> 16);
}


void
field_names_clear(field_names_t *known)
{
    int  i;

    for (i = 0; i < FIELD_NAMES; i++) {
        Py_CLEAR(known->names[i]);
    }
}


PyObject *
field_names_get(field_names_t *known, const char *name, uint32_t len)
{
    PyObject  **slot, *bytes;

    slot = len > MAX_NAME ? NULL
                          : &known->names[hash(name, len) % FIELD_NAMES];

    if (slot && *slot
        && PyBytes_GET_SIZE(*slot) == (Py_ssize_t) len
        && memcmp(PyBytes_AS_STRING(*slot), name, len) == 0)
    {
        return Py_NewRef(*slot);
    }

    bytes = PyBytes_FromStringAndSize(name, len);

    if (bytes && slot) {
        Py_XSETREF(*slot, Py_NewRef(bytes));
    }

    return bytes;
}
