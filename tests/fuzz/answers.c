/* SPDX-License-Identifier: BSD-2-Clause */

#include <limits.h>
#include <string.h>

#include "program.h"


void
look(void)
{
    int          len, *plen, left;
    void        *tsk;
    task_t      *t;
    const char  *text;

    tsk = pointer(task_handle());
    t = model_polled(m, number(tsk));
    len = -1;
    plen = below(4) ? &len : NULL;

    switch (below(5)) {

    case 0:
        text = ngx_http_lua_ffi_get_req(tsk, plen);
        require((text != NULL) == (t && !t->nil));
        left = text ? t->req_len : 0;
        require(!text || (memcmp(text, t->req, (size_t) left) == 0
                          && text[left] == '\0'));
        break;

    case 1:
        text = resty_ffi_take_req(tsk, plen);
        require((text != NULL) == (t && !t->nil));
        left = text ? t->req_len : 0;
        if (text) {
            require(memcmp(text, t->req, (size_t) left) == 0
                    && text[left] == '\0');
            t->nil = true;
        }
        free((char *) text);
        break;

    case 2:
        text = resty_ffi_method(tsk, plen);
        require((text != NULL) == (t != NULL));
        left = text ? t->method_len : 0;
        require(!text || (memcmp(text, t->method, (size_t) left) == 0
                          && text[left] == '\0'));
        break;

    case 3:
        require(resty_ffi_deadline(tsk) == (t ? t->deadline : 0));
        return;

    default:
        require(resty_ffi_cancelled(tsk) == (!t || t->cancelled));
        return;
    }

    require(plen == NULL || len == left);
}


void
answered(task_t *t, int rc, const char *rsp, size_t len)
{
    if (t == NULL) {
        return;
    }

    t->rc = rc;
    t->has_rsp = rsp != NULL;
    t->rsp_len = rsp ? len : 0;
    if (t->rsp_len) {
        memcpy(t->rsp, rsp, len);
    }

    model_up(m, t);
}


void
respond(void)
{
    int       rc, rsp_len;
    char     *rsp;
    void     *tsk;
    size_t    n, len;
    task_t   *t;

    tsk = pointer(task_handle());
    t = model_polled(m, number(tsk));
    rc = (int) byte() - 128;
    n = length();

    rsp = n ? malloc(n) : NULL;
    if (rsp) {
        memset(rsp, 'r', n);
    }

    rsp_len = (int) n;
    len = n;

    switch (below(4)) {

    case 0:
        /* a C string, which may lack its NUL */
        rsp_len = 0;
        if (rsp && below(2)) {
            len = below((unsigned) n);
            rsp[len] = '\0';
        }
        break;

    case 1:
        rsp_len = (int[]) { -1, INT_MIN }[below(2)];
        answered(t, rc, NULL, 0);
        t = NULL;
        break;

    default:
        break;
    }

    answered(t, rc, rsp, len);
    ngx_http_lua_ffi_respond(tsk, rc, rsp, rsp_len);
}


/* NULL: of an answer that is refused */
static int  refused;

static void
release(void *arg, int delivered)
{
    task_t  *t = arg;

    if (t == NULL) {
        require(delivered == 0);
        refused++;
        return;
    }

    t->released++;
    t->delivered = delivered;
}


void
respond_ref(void)
{
    static char  body[MAX_BODY];

    int      rc;
    bool     with;
    void    *tsk;
    char    *rsp;
    size_t   n;
    task_t  *t;

    tsk = pointer(task_handle());
    t = model_polled(m, number(tsk));
    rc = (int) byte();
    n = length();
    rsp = below(4) ? body : NULL;
    n = rsp ? n : 0;
    with = below(4) != 0;

    if (t) {
        t->has_release = with;
    }

    answered(t, rc, rsp, n);

    refused = 0;
    resty_ffi_respond_ref(tsk, rc, rsp, n, with ? release : NULL, t);
    require(refused == (with && t == NULL));
}


void
respond_copy(void)
{
    int          rc, left;
    char         body[MAX_BODY];
    void        *tsk;
    size_t       n;
    task_t      *t;
    const char  *rsp;

    tsk = pointer(task_handle());
    t = model_polled(m, number(tsk));
    rc = (int) byte();
    n = length();
    rsp = body;
    memset(body, 'c', n);

    switch (below(8)) {

    case 0:
        rsp = NULL;
        break;

    case 1:
        /* part of the request, whose place the answer may take */
        rsp = ngx_http_lua_ffi_get_req(tsk, &left);
        if (rsp) {
            n = n < (size_t) left ? n : (size_t) left;
            rsp += (size_t) left - n;
        }
        break;

    case 2:
        /* no memory is this large */
        n = SIZE_MAX - below(2);
        answered(t, rc ? rc : 1, NULL, 0);
        t = NULL;
        break;

    default:
        break;
    }

    answered(t, rc, rsp, n);
    resty_ffi_respond_copy(tsk, rc, rsp, n);
}


void
started(void)
{
    int         rc, len;
    void       *tq;
    task_t     *t;
    queue_t    *q;
    const char *err;

    tq = pointer(queue_handle());
    q = model_queue(m, number(tq));
    rc = (int) below(2);
    err = below(4) ? "reason" : NULL;
    len = (int[]) { 6, 1, 0, -1 }[below(4)];

    t = NULL;

    if (q && q->start != -1) {
        t = &m->tasks[q->start];
        t = t->state == POLLED ? t : NULL;
        q->start = -1;
    }

    answered(t, rc, rc && len > 0 ? err : NULL, (size_t) len);
    resty_ffi_started(tq, rc, err, len);
}
