/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef BRIDGE_INPUT_H
#define BRIDGE_INPUT_H

/* A part of a request, from when it is written until it is read. */

#include "task.h"

#pragma GCC visibility push(hidden)

struct bridge_input_s {
    bridge_input_t  *next;
    char            *bytes;     /* malloc'ed, with a NUL behind them; the
                                   reader's from then on */
    size_t           len;
};

/* Any thread.  One with a copy of len bytes; NULL where memory ran out. */
bridge_input_t *bridge_input_new(const char *bytes, size_t len);

/* Any thread.  Ends it, and its bytes (NULL: does nothing). */
void bridge_input_free(bridge_input_t *in);

#pragma GCC visibility pop

#endif /* BRIDGE_INPUT_H */
