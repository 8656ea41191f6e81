/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef BRIDGE_LOG_H
#define BRIDGE_LOG_H

/* Lines for the host's log. */

#include "bridge.h"

#pragma GCC visibility push(hidden)

#define BRIDGE_LOG_MAX  1000
#define BRIDGE_LOG_LEN  65536

/* the level of a line that says what a task does, and is for no log */
#define BRIDGE_DESCRIPTION  (-1)

/* comes up as BRIDGE_NODE_LINE */
struct bridge_line_s {
    bridge_node_t  node;
    int            level;       /* as in resty_ffi.h */
    uint64_t       task;        /* handle of the one it is of; 0: none */
    size_t         len;
    char           text[];      /* with a NUL behind it */
};

/*
 * Any thread.  Copies a line for the host's log, BRIDGE_LOG_LEN bytes of it.
 * Lost, and counted, where memory ran out or BRIDGE_LOG_MAX lines wait.
 */
void bridge_log(bridge_t *b, int level, const char *text, size_t len);

/* The same of a task, which may have ended when the line comes up. */
void bridge_log_of(bridge_t *b, uint64_t task, int level, const char *text,
    size_t len);

/* The same of a text that says what the runtime does for the task. */
void bridge_describe(bridge_t *b, uint64_t task, const char *text,
    size_t len);

/* As bridge_log, of which 511 bytes. */
void bridge_logf(bridge_t *b, int level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Host thread.  Frees a line that has come up: it waits until then. */
void bridge_line_free(bridge_t *b, bridge_line_t *line);

/* Host thread.  How many lines were lost since the last time. */
uint32_t bridge_lines_lost(bridge_t *b);

#pragma GCC visibility pop

#endif /* BRIDGE_LOG_H */
