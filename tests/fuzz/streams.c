/* SPDX-License-Identifier: BSD-2-Clause */

#include <errno.h>
#include <string.h>

#include "program.h"


static size_t
cost(size_t len)
{
    return len + BRIDGE_PART_COST;
}


/* ---- the host */


static void
check_bytes(const char *bytes, size_t len, const part_t *p)
{
    size_t  i;

    require(len == p->len);

    for (i = 0; i < len; i++) {
        require(bytes[i] == p->fill);
    }
}


void
take_part(bridge_part_t *part, int i)
{
    part_t  *p;

    require(i < m->nup && m->up[i].kind == BRIDGE_NODE_PART);
    p = &m->parts[m->up[i].index];

    require(part->task == m->tasks[p->task].handle);
    require(m->tasks[p->task].state != GONE);
    check_bytes(part->bytes, part->len, p);
    p->part = part;
}


void
take_room(bridge_node_t *n, int i)
{
    task_t  *t;

    require(i < m->nup && m->up[i].kind == BRIDGE_NODE_ROOM);
    t = &m->tasks[m->up[i].index];

    require(bridge_stream_of_room(n) == t->task);
    t->room_up = false;
}


static void
free_part(part_t *p, bool delivered)
{
    task_t  *t;

    require(p->released == 0);
    bridge_part_free(b, p->part, delivered);
    p->part = NULL;
    require(p->released == p->has_release);
    require(!p->released || p->delivered == delivered);

    t = &m->tasks[p->task];

    if (t->state == GONE) {
        return;
    }

    t->unreleased -= cost(p->len);

    if (t->unreleased <= t->high / 4) {
        if (t->full && t->state == POLLED) {
            model_tell(m, t);
        }

        t->full = false;
    }
}


void
give_back(void)
{
    part_t  *p;

    if (m->nparts) {
        p = &m->parts[byte() % (unsigned) m->nparts];

        if (p->part) {
            free_part(p, below(2));
        }
    }
}


void
give_all_back(void)
{
    int  i;

    for (i = 0; i < m->nparts; i++) {
        if (m->parts[i].part) {
            free_part(&m->parts[i], false);
        }

        require(m->parts[i].released == m->parts[i].has_release);
    }
}


/* one whose request goes on; NULL */
static task_t *
any_input(void)
{
    task_t  *t;

    if (m->ntasks == 0) {
        return NULL;
    }

    t = &m->tasks[byte() % (unsigned) m->ntasks];

    return t->state != GONE && t->input && !t->finished ? t : NULL;
}


static bool
is_read(const task_t *t)
{
    return t->state != ANSWERED && !t->cancelled;
}


static void
feed(task_t *t)
{
    if (t->starved && is_read(t)) {
        model_tell(m, t);
    }

    t->starved = false;
}


void
write_part(void)
{
    int      want;
    char     bytes[MAX_BODY];
    size_t   len;
    task_t  *t;

    t = any_input();
    if (t == NULL || t->nin == MAX_UNREAD) {
        return;
    }

    len = length();
    memset(bytes, 'a' + t->nin % 26, sizeof(bytes));

    if (!is_read(t)) {
        want = EPIPE;

    } else if (len && t->unread >= t->high) {
        t->blocked = true;
        want = EAGAIN;

    } else {
        want = 0;

        if (len) {
            t->in[t->nin] = (part_t) { .len = len, .fill = bytes[0] };
            t->nin++;
            t->unread += cost(len);
            feed(t);
        }
    }

    require(bridge_stream_write(b, t->task, bytes, len) == want);
}


void
finish_parts(void)
{
    task_t  *t;

    t = any_input();

    if (t) {
        t->finished = true;
        feed(t);
        bridge_stream_finish(b, t->task);
    }
}


/* ---- the runtime */


/* NULL: of a part that was refused */
static void
release(void *arg, int delivered)
{
    part_t  *p = arg;

    require(p);
    p->released++;
    p->delivered = delivered;
}


/* what a send comes to; *part: in the model, where it is taken */
static int
sent(task_t *t, size_t len, char fill, part_t **part)
{
    part_t  *p;

    *part = NULL;

    if (t == NULL || t->cancelled) {
        return EPIPE;
    }

    if (t->headless) {
        return EINVAL;
    }

    if (len == 0) {
        return 0;
    }

    if (t->unreleased >= t->high) {
        t->full = true;
        return EAGAIN;
    }

    t->unreleased += cost(len);

    p = &m->parts[m->nparts];
    *p = (part_t) { .task = (int) (t - m->tasks), .len = len, .fill = fill };
    model_up_node(m, BRIDGE_NODE_PART, m->nparts++);
    *part = p;

    return 0;
}


void
send_part(void)
{
    static char  body[MAX_BODY];

    int       want;
    bool      with;
    void     *tsk;
    part_t   *p, at_once;
    size_t    n;
    task_t   *t;

    if (m->nparts == MAX_PARTS) {
        return;
    }

    memset(body, 's', sizeof(body));
    tsk = pointer(task_handle());
    t = model_polled(m, number(tsk));
    n = length();
    with = below(4) != 0;

    want = sent(t, n, 's', &p);
    at_once = (part_t) { .has_release = false };

    if (p) {
        p->has_release = with;

    } else if (want == 0) {
        at_once.has_release = with;
        p = &at_once;
    }

    require(resty_ffi_send(tsk, n ? body : NULL, n, with ? release : NULL, p)
            == want);
    require(at_once.released == at_once.has_release);
    require(at_once.released == 0 || at_once.delivered == 1);
}


void
send_copy(void)
{
    int       want;
    char      body[MAX_BODY];
    void     *tsk;
    part_t   *p;
    size_t    n;
    task_t   *t;

    if (m->nparts == MAX_PARTS) {
        return;
    }

    tsk = pointer(task_handle());
    t = model_polled(m, number(tsk));
    n = length();
    memset(body, 'A' + m->nparts % 26, sizeof(body));

    if (below(16) == 1) {

        /* no memory is this large */

        n = SIZE_MAX - below(200);
        want = ENOMEM;

    } else {
        want = sent(t, n, body[0], &p);
    }

    require(resty_ffi_send_copy(tsk, body, n) == want);
}


void
read_part(void)
{
    int      want;
    char    *bytes;
    void    *tsk;
    part_t   p;
    size_t   len;
    task_t  *t;

    tsk = pointer(task_handle());
    t = model_polled(m, number(tsk));
    p = (part_t) { .len = 0 };
    bytes = NULL;
    len = 1;

    if (t == NULL || t->cancelled) {
        want = EPIPE;

    } else if (t->nin) {
        want = 0;
        p = t->in[0];
        t->nin--;
        memmove(t->in, t->in + 1, (size_t) t->nin * sizeof(part_t));
        t->unread -= cost(p.len);

        if (t->blocked && t->unread <= t->high / 4) {
            t->blocked = false;

            if (!t->room_up) {
                t->room_up = true;
                model_up_node(m, BRIDGE_NODE_ROOM, (int) (t - m->tasks));
            }
        }

    } else if (t->input && !t->finished) {
        t->starved = true;
        want = EAGAIN;

    } else {
        want = 0;
    }

    require(resty_ffi_read(tsk, &bytes, &len) == want);
    require((bytes != NULL) == (p.len > 0));
    check_bytes(bytes, len, &p);
    require(bytes == NULL || bytes[len] == '\0');
    free(bytes);
}


void
ask(void)
{
    int      events, want;
    void    *tsk;
    task_t  *t;

    tsk = pointer(task_handle());
    t = model_polled(m, number(tsk));

    if (below(4) == 0) {
        require(resty_ffi_has_parts(tsk) == (t && t->input));
        return;
    }

    events = (int) below(8);
    want = 0;

    if (t == NULL || t->cancelled) {
        want = RESTY_FFI_GONE;

    } else {
        if (!t->full && t->unreleased < t->high) {
            want |= events & RESTY_FFI_WRITABLE;
        }

        if (t->nin || t->finished || !t->input) {
            want |= events & RESTY_FFI_READABLE;
        }
    }

    require(resty_ffi_wait(tsk, events, want && below(2) ? -1 : 0) == want);
}
