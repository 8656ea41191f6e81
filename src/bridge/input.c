/* SPDX-License-Identifier: BSD-2-Clause */

#include <stdlib.h>
#include <string.h>

#include "input.h"


bridge_input_t *
bridge_input_new(const char *bytes, size_t len)
{
    bridge_input_t  *in;

    in = malloc(sizeof(bridge_input_t));
    if (in == NULL) {
        return NULL;
    }

    in->bytes = malloc(len + 1);
    if (in->bytes == NULL) {
        free(in);
        return NULL;
    }

    memcpy(in->bytes, bytes, len);
    in->bytes[len] = '\0';
    in->len = len;
    in->next = NULL;

    return in;
}


void
bridge_input_free(bridge_input_t *in)
{
    if (in) {
        free(in->bytes);
        free(in);
    }
}
