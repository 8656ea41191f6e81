/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef RESTY_FFI_H
#define RESTY_FFI_H

/*
 * The C interface between nginx's worker and a runtime: a shared library
 * that answers requests of Lua code on threads of its own.
 *
 * A runtime exports libffi_init and finds the functions below in the
 * process that loads it (dlopen(NULL), or plain undefined symbols).
 *
 * Any thread may call them, at any time between libffi_init and the end of
 * the process, but no signal handler may.  The `void *` for queues and tasks
 * are handles, not addresses: one that is stale or invented costs one line
 * in error.log, and touches no memory.  In a child made by fork() a function
 * only gives back what it is given (rsp, a reference), and task_poll returns
 * NULL.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif


#if defined(__GNUC__)
#define RESTY_FFI_API  __attribute__((visibility("default")))
#else
#define RESTY_FFI_API
#endif


/* ---- what a library exports ------------------------------------------ */

/*
 * Starts a runtime; called on nginx's main thread, so it must return soon.
 * cfg: NUL-terminated, or NULL; freed when the call returns.
 * tq: the queue of this runtime.
 * Returns 0 when started; anything else means failed.
 */
RESTY_FFI_API int libffi_init(char *cfg, void *tq);

/*
 * A library that also exports this symbol (its value does not matter)
 * starts asynchronously: a 0 from libffi_init means "under way", and
 * resty_ffi_started must follow, once.
 */
RESTY_FFI_API extern const int resty_ffi_async;


/*
 * Optional.  Called on nginx's main thread when the worker leaves, after all
 * runtimes have been unloaded.  It must return within timeout_ms, and may
 * wait that long for threads that have something to do yet.  What it has
 * logged by then is written.  A library that exports it stays open.
 */
RESTY_FFI_API void resty_ffi_exit(int timeout_ms);

/*
 * Optional.  Called on nginx's main thread when the runtime of tq is stuck:
 * calls wait, and its threads have taken none for longer than the callers
 * wait.  Writes what those threads do to error.log, soon and from any thread.
 * It must not block.
 */
RESTY_FFI_API void resty_ffi_report(void *tq);


/* ---- what every runtime uses ----------------------------------------- */

/*
 * Blocks until there is a task and returns it; NULL means unloaded: clean
 * up and leave.  Several threads may poll one queue; each gets its NULL.
 * A worker that leaves waits 0.3 s for a thread that has polled and does not
 * end, as those of Go, and longer if it works on a call.
 */
RESTY_FFI_API void *ngx_http_lua_ffi_task_poll(void *tq);

/*
 * The request's bytes, with a NUL behind them, owned by the task and valid
 * until it is answered.  *len, if len is not NULL, becomes their number.
 * NULL (and *len 0) if the request was nil or tsk is no task.
 */
RESTY_FFI_API char *ngx_http_lua_ffi_get_req(void *tsk, int *len);

/*
 * Ends the task, with any status; any thread may do so, once.
 * rsp: malloc'ed, taken over whatever happens; or NULL for no body.
 * rsp_len 0 with a non-NULL rsp: a C string, read up to its NUL or the end
 * of the allocation; negative: no body, and a line in error.log.
 */
RESTY_FFI_API void ngx_http_lua_ffi_respond(void *tsk, int rc, char *rsp,
    int rsp_len);


/* ---- what a fast runtime uses besides -------------------------------- */

/*
 * Takes up to max tasks at once.  Blocks until there is one, at most
 * timeout_ms milliseconds (-1: no bound, 0: not at all).  Returns their
 * number; 0 after the timeout or a kick, or for no reason; -1 when unloaded.
 * Tasks whose caller has gone, or whose deadline has passed, are left out.
 */
RESTY_FFI_API int resty_ffi_poll_batch(void *tq, void **tasks,
    int max, int timeout_ms);

/*
 * Ends the task with rsp_len bytes at rsp (NULL: no body), which must stay
 * as they are until release(arg, delivered) is called, once, on nginx's
 * thread.  release must not block, and may call resty_ffi_kick but no other
 * function of this header.  delivered: 1 if a live coroutine was resumed with
 * the answer, else 0.  release may be NULL.  If tsk is no task that waits for
 * its answer, release is called at once, on the calling thread.
 */
RESTY_FFI_API void resty_ffi_respond_ref(void *tsk, int rc,
    const void *rsp, size_t rsp_len, void (*release)(void *arg,
    int delivered), void *arg);

/*
 * Ends the task with a copy of rsp_len bytes at rsp; cheaper than the others
 * below some 150 bytes.  If memory runs out the answer has no body, and
 * status 1 instead of 0.
 */
RESTY_FFI_API void resty_ffi_respond_copy(void *tsk, int rc,
    const void *rsp, size_t rsp_len);

/*
 * The request's bytes for keeps: malloc'ed, with a NUL behind them, the
 * caller's to free at any time; get_req has none from then on.  Large ones
 * are not copied.  NULL with *len 0 if the request was nil.  NULL with another
 * *len if memory runs out; get_req still has the request then.
 */
RESTY_FFI_API char *resty_ffi_take_req(void *tsk, int *len);

/*
 * The name of the Lua method, "" for rt(req); *len bytes and a NUL, valid
 * until the task is answered (len may be NULL).  NULL if tsk is no task.
 */
RESTY_FFI_API const char *resty_ffi_method(void *tsk, int *len);

/* When the caller stops waiting: ms of CLOCK_MONOTONIC; 0: it does not. */
RESTY_FFI_API int64_t resty_ffi_deadline(void *tsk);

/* 1 if nobody waits for the answer any more, or tsk is no task. */
RESTY_FFI_API int resty_ffi_cancelled(void *tsk);

/*
 * Up to max tasks that this runtime has and about which something is new
 * since the last call, oldest first; ask resty_ffi_cancelled: such a task is
 * still to be answered.  From the first call on, a kick tells of new ones.
 */
RESTY_FFI_API int resty_ffi_poll_events(void *tq, void **tasks, int max);

/*
 * Starts a detached thread with stack bytes of stack (0: the default) that
 * has parted from nginx: it, its threads and its children share neither
 * descriptors above 2 nor umask nor working directory with nginx's own
 * threads, so that what they close or inherit is theirs.  Such threads share
 * all this with each other.  Their descriptors are in /proc/thread-self/fd,
 * not in /proc/self/fd.  For runtimes that run code of others or start
 * children.
 * tq: in libffi_init, on nginx's thread, the runtime's queue, once: all of
 * the runtime's threads must have parted then; elsewhere NULL.
 * Returns 0 or an error number; EINVAL: tq is not good for that.
 */
RESTY_FFI_API int resty_ffi_thread(void *tq,
    void *(*start)(void *arg), void *arg, size_t stack);

/*
 * For event loops.  The queue's eventfd, which several loops may share, or -1
 * on failure.  It is closed once poll_batch has told each thread that polls
 * of the unload, or the start has failed.
 * arm takes what is in it.  It returns 1 if the next task, kick or unload
 * will write to it; 0 if something is there already: poll_batch first, then
 * arm again; -1 if code in this process has closed it: the loop hears nothing
 * of calls any more.
 */
RESTY_FFI_API int resty_ffi_eventfd(void *tq);
RESTY_FFI_API int resty_ffi_arm(void *tq);

/*
 * Makes one blocked poll_batch return, with 0 unless tasks have come
 * meanwhile, and the eventfd readable.
 */
RESTY_FFI_API void resty_ffi_kick(void *tq);

enum {
    RESTY_FFI_THREADS         = 0,  /* opts.threads */
    RESTY_FFI_SWITCH_INTERVAL = 1,  /* opts.switch_interval, ms */
    RESTY_FFI_RELOAD          = 2   /* 1: rt:__reload() starts the runtime */
};

/*
 * How long calls of this queue wait if neither the caller nor nginx.conf
 * says: ms, 0 for no bound, as it is until this is called.
 */
RESTY_FFI_API void resty_ffi_default_timeout(void *tq, int ms);

/*
 * An option of ngx.load_ffi, or a fact about the load; missing if it was not
 * given.
 */
RESTY_FFI_API double resty_ffi_option(void *tq, int option,
    double missing);

/*
 * What error.log calls the runtime (copied; at most 63 bytes), once; NULL
 * does nothing.
 */
RESTY_FFI_API void resty_ffi_name(void *tq, const char *name);

/*
 * The kernel's ids of up to max live threads that have polled tq (NULL: any
 * queue); returns their number.
 */
RESTY_FFI_API int resty_ffi_pollers(void *tq, int *tids, int max);

/* 1 from the moment the worker process leaves: finish, do not wait. */
RESTY_FFI_API int resty_ffi_exiting(void);


/* ---- starting, and error.log ----------------------------------------- */

/*
 * Reports the end of an asynchronous start, once.  rc 0: the runtime takes
 * calls from now on; else the load fails with the text err (copied; len
 * bytes; may be NULL) and the queue is closed.
 */
RESTY_FFI_API void resty_ffi_started(void *tq, int rc,
    const char *err, int len);

enum {
    RESTY_FFI_LOG_ERR    = 4,
    RESTY_FFI_LOG_WARN   = 5,
    RESTY_FFI_LOG_NOTICE = 6,
    RESTY_FFI_LOG_INFO   = 7
};

/*
 * Writes msg (len bytes, copied, may have several lines) to error.log soon,
 * on nginx's thread, without what is beyond 65 536 bytes.  While more than
 * 1 000 such texts wait, further ones are lost, and counted.
 */
RESTY_FFI_API void resty_ffi_log(int level, const char *msg, int len);


#ifdef __cplusplus
}
#endif

#endif /* RESTY_FFI_H */
