#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "done.h"
#include "task.h"


void
bridge_init(bridge_t *b, void (*notify)(void *arg), void *arg)
{
    b->host = pthread_self();
    b->notify = notify;
    b->notify_arg = arg;
}


void
bridge_mark_dead(bridge_t *b)
{
    atomic_store_explicit(&b->dead, true, memory_order_relaxed);
}


void
bridge_done_push(bridge_t *b, bridge_task_t *t)
{
    bridge_task_t  *head;

    head = atomic_load_explicit(&b->done, memory_order_relaxed);

    do {
        t->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&b->done, &head, t,
                                                    memory_order_release,
                                                    memory_order_relaxed));

    /* t may be gone already: the host drains without being woken, too */

    if (head == NULL) {
        b->notify(b->notify_arg);
    }
}


bridge_task_t *
bridge_done_take(bridge_t *b)
{
    bridge_task_t  *t, *next, *first;

    if (atomic_load_explicit(&b->done, memory_order_relaxed) == NULL) {
        return NULL;
    }

    t = atomic_exchange_explicit(&b->done, NULL, memory_order_acquire);

    for (first = NULL; t; t = next) {
        next = t->next;
        t->next = first;
        first = t;
    }

    return first;
}


void
bridge_log(bridge_t *b, int level, const char *text, size_t len)
{
    bridge_line_t  *line, *head;

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

    line->level = level;
    line->len = len;
    memcpy(line->text, text, len);
    line->text[len] = '\0';

    head = atomic_load_explicit(&b->lines, memory_order_relaxed);

    do {
        line->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&b->lines, &head, line,
                                                    memory_order_release,
                                                    memory_order_relaxed));

    if (head == NULL) {
        b->notify(b->notify_arg);
    }

    return;

lost:

    atomic_fetch_sub_explicit(&b->nlines, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&b->lost_lines, 1, memory_order_relaxed);
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


bridge_line_t *
bridge_log_take(bridge_t *b, uint32_t *lost)
{
    uint32_t        n;
    bridge_line_t  *line, *next, *first;

    *lost = atomic_exchange_explicit(&b->lost_lines, 0,
                                     memory_order_relaxed);

    line = atomic_exchange_explicit(&b->lines, NULL, memory_order_acquire);

    n = 0;

    for (first = NULL; line; line = next) {
        next = line->next;
        line->next = first;
        first = line;
        n++;
    }

    atomic_fetch_sub_explicit(&b->nlines, n, memory_order_relaxed);

    return first;
}
