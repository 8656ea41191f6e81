/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef MODEL_TRACE_H
#define MODEL_TRACE_H

/* The steps of a run, to be read.  The texts stay the caller's. */

#include <stdarg.h>
#include <stdbool.h>

/* Before a run. */
void trace_reset(void);

/* false: there is no room. */
bool trace_step(const char *fiber, const char *what, const char *where,
    int line);

/* About the last one. */
void trace_note(const char *fmt, va_list args);

void trace_print(void);

#endif /* MODEL_TRACE_H */
