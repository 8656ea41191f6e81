#ifndef BRIDGE_DONE_H
#define BRIDGE_DONE_H

/* What comes back to the host: answered tasks and lines for its log. */

#include "bridge.h"

#pragma GCC visibility push(hidden)

struct bridge_line_s {
    bridge_line_t  *next;
    int             level;      /* as in resty_ffi.h */
    size_t          len;
    char            text[];
};

/* Any thread.  The host is woken where it has nothing to drain yet. */
void bridge_done_push(bridge_t *b, bridge_task_t *t);

/* Host thread.  All answered tasks, oldest first, linked by next. */
bridge_task_t *bridge_done_take(bridge_t *b);

/*
 * Any thread.  Copies a line for the host's log, BRIDGE_LOG_LEN bytes of it.
 * Dropped, and counted, where memory ran out or BRIDGE_LOG_MAX lines wait.
 */
void bridge_log(bridge_t *b, int level, const char *text, size_t len);
void bridge_logf(bridge_t *b, int level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Host thread.  The lines so far, oldest first, each to be freed by free();
 * *lost is how many were dropped since the last time.
 */
bridge_line_t *bridge_log_take(bridge_t *b, uint32_t *lost);

#pragma GCC visibility pop

#endif /* BRIDGE_DONE_H */
