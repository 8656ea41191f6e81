/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_FFI_LUA_STREAM_H_INCLUDED_
#define _NGX_FFI_LUA_STREAM_H_INCLUDED_

/*
 * A task whose answer, and maybe its request, Lua has in parts.
 *
 * Memory: the stream is a userdata, so it lives until Lua forgets it.  It has
 * a task from open until it is closed: by Lua, when it is collected, when its
 * request ends, or because the answer has been taken or a deadline has
 * passed.  Close lets go of the task and of all parts, and is harmless the
 * second time; task is NULL from then on.
 *
 * Up: parts that have come stand in first, unreleased, so that the runtime is
 * held back, until somebody takes them; who has taken one gives it back by
 * bridge_part_free, whenever that is.  There is one reader at a time: a
 * coroutine in read or pipe, which holds reader while it waits, or who has
 * set arrived.
 * Down: there is one writer at a time: a coroutine in write, which holds
 * writer while it waits, or who has set room.  It calls bridge_stream_write
 * and bridge_stream_finish on task itself.
 *
 * Hooks run in drains, as those of ngx_http_ffi_caller_t do, and within
 * close: they note, and post an event, but neither resume coroutines nor send
 * nor read nor close.  task may be NULL in them.  Who has set one takes it
 * out again (NULL) when it is done, before its data goes.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <lua.h>

#include "ngx_http_ffi_event.h"
#include "ngx_ffi_lua_request.h"
#include "ngx_ffi_lua_sema.h"
#include "send.h"
#include "task.h"

#pragma GCC visibility push(hidden)


typedef struct ngx_ffi_lua_stream_s  ngx_ffi_lua_stream_t;

struct ngx_ffi_lua_stream_s {
    ngx_http_ffi_caller_t   caller;     /* first: bridge_task_t.data */
    ngx_queue_t             queue;      /* of all streams */
    ngx_ffi_lua_owned_t     owned;      /* by main, while there is a task */
    ngx_http_request_t     *main;
    bridge_task_t          *task;       /* NULL: closed */
    const char             *closed;     /* why, for who reads on; NULL: at
                                           the end of the answer */

    bridge_part_t          *first;      /* come, and not taken */
    bridge_part_t         **last;
    size_t                  max;        /* bytes of a chunk to Lua */
    ngx_msec_t              first_timeout;  /* 0: none */
    ngx_msec_t              read_timeout;   /* 0: none */

    /* who waits; their own to give back */
    ngx_ffi_lua_sema_t     *reader;
    ngx_ffi_lua_sema_t     *writer;

    /* the pipe's: a part, the answer or the end of the stream has come */
    void                  (*arrived)(ngx_ffi_lua_stream_t *s);
    void                   *arrived_data;

    /* the body's: the task may be written to, or no longer takes input */
    void                  (*room)(ngx_ffi_lua_stream_t *s);
    void                   *room_data;

    size_t                  max_request;    /* bytes of a chunk from Lua */

    unsigned                answered:1; /* the task has its answer */
    unsigned                begun:1;    /* a part has been taken */
    unsigned                input:1;    /* the request goes on in parts */
    unsigned                written:1;  /* by Lua, not the client's body */
    unsigned                finished:1; /* the request is complete */
    unsigned                moved:1;    /* the request has grown since grows
                                           was asked */
    unsigned                held:1;     /* the body waits for room, and not
                                           for its client */
};


/* Pushes the table of the methods of all streams, which Lua fills. */
void ngx_ffi_lua_stream_methods(lua_State *L);

/* Pushes a new one, which is closed until attach gives it a task. */
ngx_ffi_lua_stream_t *ngx_ffi_lua_stream_new(lua_State *L);

/*
 * r opens s with t, which is not put yet.  NGX_ERROR where memory ran out; t
 * is still the caller's.
 */
ngx_int_t ngx_ffi_lua_stream_attach(ngx_ffi_lua_stream_t *s,
    ngx_http_request_t *r, bridge_task_t *t);

/*
 * The stream at an index of the stack; raises where there is none.  It may
 * be closed.
 */
ngx_ffi_lua_stream_t *ngx_ffi_lua_stream_check(lua_State *L, int index);

/*
 * NULL if the running coroutine of r may be the next to read; else why not:
 * it is another request's, or somebody reads or pipes already.
 */
const char *ngx_ffi_lua_stream_may_read(ngx_ffi_lua_stream_t *s,
    ngx_http_request_t *r);

/* The same for who writes. */
const char *ngx_ffi_lua_stream_may_write(ngx_ffi_lua_stream_t *s,
    ngx_http_request_t *r);

/*
 * The next part, which is the caller's now, to be given back by
 * bridge_part_free; NULL if none is there.
 */
bridge_part_t *ngx_ffi_lua_stream_part(ngx_ffi_lua_stream_t *s);

/*
 * The task, where it has its answer and all parts before that have been
 * taken; else NULL.  It is the caller's now, who takes rc and rsp from it, and
 * ends it by bridge_task_free, whenever that is; the stream is closed.
 */
bridge_task_t *ngx_ffi_lua_stream_answer(ngx_ffi_lua_stream_t *s);

/*
 * How long who waits for a part from now on may wait: *ms, 0 for no bound.
 * NGX_DECLINED if the deadline for all has passed.  A gap counts from the
 * time at which somebody begins to wait.
 */
ngx_int_t ngx_ffi_lua_stream_bound(ngx_ffi_lua_stream_t *s, ngx_msec_t *ms);

/*
 * Whether the request has grown since this was asked, or its client takes its
 * time with the body: then what has not come is not late.
 */
ngx_uint_t ngx_ffi_lua_stream_grows(ngx_ffi_lua_stream_t *s);

/*
 * Cancels the task if it has no answer, and gives all parts back.  why: for
 * who waits, or asks later; static text.  Who waits is resumed, and finds
 * task NULL; hooks are called.
 */
void ngx_ffi_lua_stream_close(ngx_ffi_lua_stream_t *s, const char *why);

/*
 * Pushes what tells Lua that a function of a stream is done, and has not been
 * resumed by whatever: its fourth argument.
 */
void ngx_ffi_lua_push_mark(lua_State *L);

/*
 * What read, and pipe, return to Lua for an answer with rc other than 0, or
 * one that was rejected: pushes nil, err[, status, text[, "no method"]], and
 * returns their number.  The task is still the caller's.
 */
int ngx_ffi_lua_stream_push_error(lua_State *L, bridge_task_t *t);

/* In exit_process: as ngx_ffi_lua_waiters_exit. */
void ngx_ffi_lua_streams_exit(void);

#pragma GCC visibility pop


#endif /* _NGX_FFI_LUA_STREAM_H_INCLUDED_ */
