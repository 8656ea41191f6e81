/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>

#include "abi.h"
#include "answer.h"
#include "ngx_http_ffi_loaders.h"


typedef struct {
    ngx_queue_t                queue;
    uint64_t                   task;
} ngx_http_ffi_loader_t;


ngx_int_t
ngx_http_ffi_loaders_add(ngx_queue_t *loaders, bridge_task_t *t)
{
    ngx_http_ffi_loader_t  *l;

    l = ngx_alloc(sizeof(ngx_http_ffi_loader_t), ngx_cycle->log);
    if (l == NULL) {
        return NGX_ERROR;
    }

    l->task = bridge_task_handle(t);
    ngx_queue_insert_tail(loaders, &l->queue);

    return NGX_OK;
}


void
ngx_http_ffi_loaders_answer(ngx_queue_t *loaders, int rc, ngx_str_t *why)
{
    ngx_queue_t            *q;
    ngx_http_ffi_loader_t  *l;

    while (!ngx_queue_empty(loaders)) {
        q = ngx_queue_head(loaders);
        ngx_queue_remove(q);

        l = ngx_queue_data(q, ngx_http_ffi_loader_t, queue);

        (void) bridge_task_answer_copy(bridge_host(), l->task, rc,
                                       (char *) why->data, why->len);
        ngx_free(l);
    }
}
