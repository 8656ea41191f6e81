/* SPDX-License-Identifier: BSD-2-Clause */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"


void
bridge_log(bridge_t *b, int level, const char *text, size_t len)
{
    bridge_log_of(b, 0, level, text, len);
}


void
bridge_log_of(bridge_t *b, uint64_t task, int level, const char *text,
    size_t len)
{
    bridge_line_t  *line;

    if (atomic_load_explicit(&b->dead, memory_order_relaxed)) {
        return;
    }

    if (len > BRIDGE_LOG_LEN) {
        len = BRIDGE_LOG_LEN;
    }

    if (atomic_fetch_add_explicit(&b->nlines, 1, memory_order_relaxed)
        >= BRIDGE_LOG_MAX)
    {
        goto lost;
    }

    line = malloc(sizeof(bridge_line_t) + len + 1);
    if (line == NULL) {
        goto lost;
    }

    line->node.kind = BRIDGE_NODE_LINE;
    line->level = level;
    line->task = task;
    line->len = len;
    memcpy(line->text, text, len);
    line->text[len] = '\0';

    bridge_up(b, &line->node);

    return;

lost:

    atomic_fetch_sub_explicit(&b->nlines, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&b->lost_lines, 1, memory_order_relaxed);
}


void
bridge_describe(bridge_t *b, uint64_t task, const char *text, size_t len)
{
    bridge_log_of(b, task, BRIDGE_DESCRIPTION, text, len);
}


void
bridge_logf(bridge_t *b, int level, const char *fmt, ...)
{
    int      n;
    char     text[512];
    va_list  args;

    va_start(args, fmt);
    n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    if (n < 0) {
        return;
    }

    bridge_log(b, level, text,
               (size_t) n < sizeof(text) ? (size_t) n : sizeof(text) - 1);
}


void
bridge_line_free(bridge_t *b, bridge_line_t *line)
{
    free(line);
    atomic_fetch_sub_explicit(&b->nlines, 1, memory_order_relaxed);
}


uint32_t
bridge_lines_lost(bridge_t *b)
{
    return atomic_load_explicit(&b->lost_lines, memory_order_relaxed) == 0
           ? 0 : atomic_exchange_explicit(&b->lost_lines, 0,
                                          memory_order_relaxed);
}
