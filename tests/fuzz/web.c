/* SPDX-License-Identifier: BSD-2-Clause */

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "program.h"


#define MAX_HEADERS  4
#define LARGE        (BRIDGE_HEAD_MAX + 1)


/* whether a header is good: RFC 9110's token, and no line's or text's end */

static bool
is_token(const char *name, size_t len)
{
    static const char  token[] =
        "!#$%&'*+-.^_`|~0123456789"
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

    size_t  i;

    for (i = 0; i < len; i++) {
        if (memchr(token, name[i], sizeof(token) - 1) == NULL) {
            return false;
        }
    }

    return len > 0;
}


static bool
is_line(const char *value, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {
        if (value[i] == '\r' || value[i] == '\n' || value[i] == '\0') {
            return false;
        }
    }

    return true;
}


/* ---- what has come up, and what is to: no value has a newline */


/* of ASCII, whatever the locale */
static char
lower_case(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return (char) (c - 'A' + 'a');
    }

    return c;
}


static size_t
write_field(char *p, const char *name, size_t name_len, const char *lower,
    const char *value, size_t value_len)
{
    size_t  i, n;

    n = 0;

    for (i = 0; i < name_len; i++) {
        p[n++] = name[i];
    }

    p[n++] = ':';

    for (i = 0; i < name_len; i++) {
        p[n++] = (char) (lower ? lower[i] : lower_case(name[i]));
    }

    p[n++] = ':';

    for (i = 0; i < value_len; i++) {
        p[n++] = value[i];
    }

    p[n++] = '\n';

    return n;
}


static char *
text_of_room(size_t size)
{
    char  *text;

    text = malloc(size);
    require(text);

    return text;
}


void
take_head(bridge_head_t *h, int i)
{
    char            *text;
    size_t           k, n;
    task_t          *t;
    bridge_field_t  *f;

    require(i < m->nup && m->up[i].kind == BRIDGE_NODE_HEAD);
    t = &m->tasks[m->up[i].index];

    require(h->task == t->handle && t->state != GONE);
    require(h->status == t->status);

    n = 0;
    text = text_of_room(t->head_len + 1);

    for (k = 0; k < h->nfields; k++) {
        f = &h->fields[k];
        require(n + 2 * f->name_len + f->value_len + 3 <= t->head_len);
        require(f->name[f->name_len] == '\0' && f->lower[f->name_len] == '\0'
                && f->value[f->value_len] == '\0');
        n += write_field(text + n, f->name, f->name_len, f->lower, f->value,
                         f->value_len);
    }

    require(n == t->head_len && memcmp(text, t->head, n) == 0);

    free(text);
    free(t->head);
    t->head = NULL;

    bridge_head_free(h);
}


/* ---- the runtime */


void
look_at_head(void)
{
    void        *tsk;
    task_t      *t;
    const char  *head;

    tsk = pointer(task_handle());
    t = model_polled(m, number(tsk));
    head = (const char *) resty_ffi_head(tsk);

    require((head != NULL) == (t && t->web && !t->nil));
    require(head == NULL
            || (memcmp(head, t->req, (size_t) t->req_len) == 0
                && head[t->req_len] == '\0'));
}


static void
pick_bytes(char *p, size_t len, char any)
{
    size_t  i;

    for (i = 0; i < len; i++) {
        p[i] = any;
    }

    /* mostly good ones */

    if (len && below(4) == 0) {
        i = below((unsigned) len);
        p[i] = (char) byte();
    }
}


/* a name or a value; *len: what is said of it */
static const char *
pick_text(char *room, size_t *len, bool is_name)
{
    static char  large[LARGE];

    char  any;

    *len = length();
    any = (char) (is_name ? "aZ-x"[below(4)] : byte());
    pick_bytes(room, *len, any);

    switch (below(16)) {

    case 0:
        /* no memory is this large */
        *len = SIZE_MAX - below(2);
        return room;

    case 1:
        *len = 0;
        return NULL;

    case 2:
        *len = LARGE >> below(8);
        if (large[0] == '\0') {
            memset(large, 'L', sizeof(large));
        }
        return large;

    default:
        return room;
    }
}


/* what the headers come to: 0, EINVAL, or -1, where both will do */
static int
judge(const resty_ffi_header_t *headers, size_t n)
{
    size_t  i, bytes;

    for (i = 0, bytes = 0; i < n; i++) {
        if (headers[i].name_len > BRIDGE_HEAD_MAX
            || headers[i].value_len > BRIDGE_HEAD_MAX
            || !is_token(headers[i].name, headers[i].name_len)
            || !is_line(headers[i].value, headers[i].value_len))
        {
            return EINVAL;
        }

        bytes += headers[i].name_len + headers[i].value_len;
    }

    return bytes > BRIDGE_HEAD_MAX ? EINVAL
           : bytes > BRIDGE_HEAD_MAX / 4 ? -1 : 0;
}


static void
expect_head(task_t *t, int status, const resty_ffi_header_t *headers,
    size_t n)
{
    size_t  i, size;

    for (i = 0, size = 1; i < n; i++) {
        size += 2 * headers[i].name_len + headers[i].value_len + 3;
    }

    t->headless = false;
    t->status = status;
    t->head = text_of_room(size);
    t->head_len = 0;

    for (i = 0; i < n; i++) {
        t->head_len += write_field(t->head + t->head_len, headers[i].name,
                                   headers[i].name_len, NULL,
                                   headers[i].value, headers[i].value_len);
    }

    model_up_node(m, BRIDGE_NODE_HEAD, (int) (t - m->tasks));
}


void
send_head(void)
{
    static char  names[MAX_HEADERS][MAX_BODY];
    static char  values[MAX_HEADERS][MAX_BODY];

    int                  status, want, rc;
    void                *tsk;
    size_t               i, n;
    task_t              *t;
    resty_ffi_header_t   headers[MAX_HEADERS];

    tsk = pointer(task_handle());
    t = model_polled(m, number(tsk));
    status = below(8) ? 200 + (int) byte()
             : (int[]) { 199, 200, 999, 1000, 0, -1, INT_MIN, INT_MAX,
                         200 + 65536 }[below(9)];
    n = below(MAX_HEADERS + 1);

    for (i = 0; i < n; i++) {
        headers[i].name = pick_text(names[i], &headers[i].name_len, true);
        headers[i].value = pick_text(values[i], &headers[i].value_len, false);
    }

    want = status < 200 || status > 999 ? EINVAL : judge(headers, n);
    rc = resty_ffi_send_head(tsk, status, n ? headers : NULL, n);

    if (want == -1) {
        want = rc == EINVAL ? EINVAL : 0;
    }

    if (want == 0) {
        want = t == NULL || t->cancelled ? EPIPE : t->headless ? 0 : EINVAL;
    }

    require(rc == want);

    if (rc == 0) {
        expect_head(t, status, headers, n);
    }
}
