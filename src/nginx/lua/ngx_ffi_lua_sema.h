/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_FFI_LUA_SEMA_H_INCLUDED_
#define _NGX_FFI_LUA_SEMA_H_INCLUDED_

/*
 * How a coroutine waits: on a semaphore of the lua module, one for each wait.
 *
 * A coroutine can vanish without anybody telling us (the semaphore owns its
 * cleanup slot); nobody waits then.
 *
 * It can also be resumed by something else than its semaphore: by a light
 * thread that it once waited for beside another one.  It still stands in the
 * semaphore's queue then, and must yield again.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <lua.h>

#include "ngx_ffi_lua_host.h"

#pragma GCC visibility push(hidden)


typedef struct {
    ngx_queue_t           queue;      /* of those in use, or given back */
    ngx_http_lua_sema_t  *sem;
    lua_State            *co;         /* who waits, or has waited */
    ngx_http_request_t   *request;
    const char           *ended;      /* the wait, before its time: why */
    unsigned              posted:1;
    unsigned              taken:1;    /* by who was resumed */
    unsigned              bounded:1;
} ngx_ffi_lua_sema_t;


/*
 * Whether r's coroutine L could wait here: NGX_OK; else the reason, and
 * NGX_DECLINED, or NGX_ERROR where memory ran out.
 */
ngx_int_t ngx_ffi_lua_can_wait(lua_State *L, ngx_http_request_t *r,
    u_char *err, size_t *errlen);

/* Whether nobody may wait any more as r would, ms milliseconds (0: for ever) */
ngx_uint_t ngx_ffi_lua_waits_ended(ngx_http_request_t *r, ngx_msec_t ms);

/*
 * Lets the running coroutine of r wait, at most ms milliseconds (0: no
 * bound).  Where this succeeds the C function that the coroutine runs must
 * return lua_yield(L, 0), without anything before that may raise: who has left
 * by an error, and waits, crashes the worker.  When it is resumed it asks
 * ngx_ffi_lua_sema_waits.  Else NULL, with the reason in err (*errlen bytes of
 * room; becomes its length).
 */
ngx_ffi_lua_sema_t *ngx_ffi_lua_sema_wait(lua_State *L,
    ngx_http_request_t *r, ngx_msec_t ms, u_char *err, size_t *errlen);

/* Has the next wait need no memory.  NGX_ERROR where that ran out. */
ngx_int_t ngx_ffi_lua_sema_reserve(void);

/*
 * Whether the coroutine that runs, which has waited, still stands in the
 * semaphore's queue, and would be resumed by it wherever it goes.
 */
ngx_uint_t ngx_ffi_lua_sema_waits(ngx_ffi_lua_sema_t *s);

/*
 * The coroutine that runs has left a wait by an error.  Whether it still
 * stands in a semaphore's queue: then ngx.sleep takes it out.  Nobody asks
 * ngx_ffi_lua_sema_waits of its semaphores any more.  Looks at all there are.
 */
ngx_uint_t ngx_ffi_lua_sema_raised(lua_State *L, ngx_http_request_t *r);

/*
 * Has the coroutine resumed in a posted event, once; NGX_DECLINED where none
 * waits any more.
 */
ngx_int_t ngx_ffi_lua_sema_resume(ngx_ffi_lua_sema_t *s);

/*
 * Whether the coroutine that has waited is no more: neither waits nor runs.
 * Not for that coroutine itself.
 */
ngx_uint_t ngx_ffi_lua_sema_left(ngx_ffi_lua_sema_t *s);

/* Gives s back, at any time; nobody is resumed by it then. */
void ngx_ffi_lua_sema_put(ngx_ffi_lua_sema_t *s);

/*
 * Worker that quits: after ms milliseconds resumes who waits still, and lets
 * nobody wait any more.
 */
void ngx_ffi_lua_end_waits_after(ngx_msec_t ms);

/* The same for who has neither a deadline nor a client, as in a timer. */
void ngx_ffi_lua_abort_waits_after(ngx_msec_t ms);

/*
 * In exit_process: nobody is resumed any more.  Gives back all semaphores,
 * which the lua module insists on.
 */
void ngx_ffi_lua_semas_exit(void);

#pragma GCC visibility pop


#endif /* _NGX_FFI_LUA_SEMA_H_INCLUDED_ */
