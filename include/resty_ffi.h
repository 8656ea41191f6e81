/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef RESTY_FFI_H
#define RESTY_FFI_H

/*
 * The C interface between nginx's worker and a runtime: a shared library
 * that answers requests of Lua code on threads of its own.
 *
 * It may also be a web application, to which a location of nginx.conf passes
 * the requests of clients, without Lua; see "web requests".
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

/*
 * Optional.  Called on nginx's main thread for a task that has taken longer
 * than ffi_slow_time, and that thread tid has taken, or, where that is 0, none.
 * Has resty_ffi_described called, soon and from any thread.  It must not block.
 */
RESTY_FFI_API void resty_ffi_describe(void *tsk, int tid);

/*
 * Optional.  Called on nginx's main thread.  What the runtimes of the library
 * run in, with its version, as "CPython 3.11.2": a text that stays.
 */
RESTY_FFI_API const char *resty_ffi_about(void);


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
 *
 * max 0 takes none, and blocks as long: for a thread that needs a lock to work
 * on a task, which another one may be quicker to take.  While others work on
 * tasks it may leave what waits to them for 1 ms.  Poll again as soon as the
 * lock is there: until then no other thread is woken up.
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

/*
 * The traceparent (W3C Trace Context) that came with the call, or with the web
 * request: *len bytes, valid until the task is answered; well-formed.  NULL,
 * and *len 0: none has come.  No NUL behind it.
 */
RESTY_FFI_API const char *resty_ffi_trace(void *tsk, int *len);

/*
 * The runtime has no such method: says so of the answer that it gives next, by
 * which Lua can tell that from one of a method's own.
 */
RESTY_FFI_API void resty_ffi_no_method(void *tsk);

/* When the caller stops waiting: ms of CLOCK_MONOTONIC; 0: it does not. */
RESTY_FFI_API int64_t resty_ffi_deadline(void *tsk);

/* 1 if nobody waits for the answer any more, or tsk is no task. */
RESTY_FFI_API int resty_ffi_cancelled(void *tsk);

/*
 * Up to max tasks that this runtime has and about which something is new
 * since the last call, oldest first: nobody waits for its answer any more, or
 * what EAGAIN of send or read promised.  Ask resty_ffi_wait what it is; the
 * task is still to be answered.  From the first call on, polls return 0 when
 * there are new ones, and the eventfd is readable; where a call has left some,
 * the next poll or arm returns 0.  After the unload none come: ask
 * resty_ffi_wait about each task then, again and again, with a timeout.
 * own: 1: only tasks that the calling thread has taken, as runtimes want
 * whose threads each look after their own calls in polls that block: these
 * return for tasks without an answer, and the eventfd tells of none; 0: all.
 * A runtime always says the same.
 */
RESTY_FFI_API int resty_ffi_poll_events(void *tq, void **tasks, int max,
    int own);

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
    RESTY_FFI_RELOAD          = 2,  /* 1: rt:__reload() starts the runtime */
    RESTY_FFI_SHOW_ERRORS     = 3,  /* 1: ffi_show_errors is on: what is behind
                                       the first line of the text of a failed
                                       start, or web request, is for a page */
    RESTY_FFI_MAX_MESSAGE     = 4   /* python_websocket_max_size, bytes */
};

/*
 * How long calls of this queue wait if neither the caller nor nginx.conf
 * says: ms, 0 for no bound, as it is until this is called.
 */
RESTY_FFI_API void resty_ffi_default_timeout(void *tq, int ms);

/*
 * Web requests of this queue come when nginx has all of their bodies, in memory
 * or in a file, where nginx.conf does not say otherwise: no thread waits for a
 * slow client.  Before the start is reported.
 */
RESTY_FFI_API void resty_ffi_buffer_requests(void *tq);

/*
 * While tasks wait in this queue, a thread of the runtime that answers one
 * after the other wakes nginx up every us microseconds at most; nginx looks
 * every 1 to 2 ms by itself then, so that an answer need not wait for the next.
 * 0, as it is until this is called: for each answer.
 */
RESTY_FFI_API void resty_ffi_quiet(void *tq, int us);

/*
 * A thread of the runtime that was to take tasks has waited for ns nanoseconds
 * for the lock of its interpreter, as CPython's GIL: ffi_status has the sum.
 */
RESTY_FFI_API void resty_ffi_lock_waited(void *tq, int64_t ns);

/*
 * Web requests of this queue may ask for a WebSocket, which their heads then
 * say, see RESTY_FFI_UPGRADE.  Without this they are requests like any other.
 * Before the start is reported.
 */
RESTY_FFI_API void resty_ffi_accept_upgrades(void *tq);

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

/*
 * When a worker that leaves waits no longer for threads that work on a call:
 * ms of CLOCK_MONOTONIC; 0 while it does not leave.
 */
RESTY_FFI_API int64_t resty_ffi_exit_deadline(void);


/* ---- streams: answers and requests in parts --------------------------- */

/*
 * Sends a part of the answer; respond ends it, with the last part or an
 * error.  len bytes at part stay as they are until release(arg, delivered) is
 * called, as for respond_ref; delivered: 1 if Lua has had them, or the client's
 * connection, where a pipe sends them.  Parts arrive in the order in which they
 * are sent.  One of no bytes is released at once, on the calling thread, and
 * nothing arrives.  Several threads may send.
 * Returns 0, or an error number; nothing is taken then, nor released:
 *   EAGAIN  so many bytes are not released yet that the caller wants no more
 *           (64 KiB, as nginx.conf says; each part counts for some 70 bytes
 *           more than it has).  Below a quarter of that one event comes.
 *   EPIPE   nobody waits for the answer any more, or tsk is no task, which no
 *           function of this part logs.
 *   EINVAL  the head of an answer to a web request comes first.
 *   ENOMEM  memory ran out.
 * A part is never refused for its size.
 */
RESTY_FFI_API int resty_ffi_send(void *tsk, const void *part, size_t len,
    void (*release)(void *arg, int delivered), void *arg);

/* The same with a copy of the bytes; cheaper below some 1 000. */
RESTY_FFI_API int resty_ffi_send_copy(void *tsk, const void *part,
    size_t len);

/* 1 if the request goes on in parts after what get_req has, see read. */
RESTY_FFI_API int resty_ffi_has_parts(void *tsk);

/*
 * The next part of the request: *part, *len bytes (never 0) and a NUL,
 * malloc'ed, the runtime's to free; or NULL after the last one, and at once
 * where has_parts is 0.
 * Returns 0, or an error number:
 *   EAGAIN  it has not come yet; one event comes when it has.
 *   EPIPE   nobody waits for the answer any more, or tsk is no task.
 */
RESTY_FFI_API int resty_ffi_read(void *tsk, char **part, size_t *len);

enum {
    RESTY_FFI_WRITABLE = 1,     /* send will take a part */
    RESTY_FFI_READABLE = 2,     /* read has a part, or the end */
    RESTY_FFI_GONE     = 4,     /* nobody waits for the answer any more, or
                                   tsk is no task that waits for its own */
    RESTY_FFI_LEAVING  = 8      /* the worker leaves soon, and ends what is
                                   open then: of an upgraded connection */
};

/*
 * Blocks until one of events holds for the task, or GONE, at most timeout_ms
 * milliseconds (-1: no bound, 0: not at all).  Returns those that hold; 0
 * after the timeout.  After EAGAIN, WRITABLE holds from the event on.
 */
RESTY_FFI_API int resty_ffi_wait(void *tsk, int events, int timeout_ms);


/* ---- web requests ----------------------------------------------------- */

/*
 * A web request is a task whose request is its head, with all that it has in
 * one block; the body comes in parts, see read.  It has no method's name and
 * no deadline.  respond ends the answer with its last part: with status 0
 * after a head; anything else is an error.  The client then gets 502, or the
 * status where it is of 500 to 599, or, if it has the head already, a closed
 * connection, and error.log the text.
 */

/* len bytes, offset bytes from the head's begin on, and a NUL */
typedef struct {
    uint32_t            offset;
    uint32_t            len;
} resty_ffi_text_t;

typedef struct {
    resty_ffi_text_t    name;       /* in lower case */
    resty_ffi_text_t    value;
} resty_ffi_field_t;

/* of a connection with TLS; all 0 where it has none */
typedef struct {
    uint32_t            version;    /* as in TLS itself: 0x0304 is TLS 1.3 */
    uint32_t            cipher;     /* the cipher suite's number; 0: unknown */
    resty_ffi_text_t    client_cert;    /* PEM; "": none */
    resty_ffi_text_t    client_name;    /* its subject, as RFC 4514 has it */
    resty_ffi_text_t    client_error;   /* why it is not trusted; "" */
} resty_ffi_tls_t;

/* later versions have more members at the end */
typedef struct {
    uint32_t            version;    /* 2 */
    uint32_t            size;       /* bytes of the block */
    resty_ffi_text_t    method;     /* "GET" */
    resty_ffi_text_t    path;       /* decoded, as nginx's locations match it;
                                       any bytes but NUL */
    resty_ffi_text_t    raw_path;   /* as the client has sent it, without the
                                       query; if nginx has changed it, path
                                       escaped */
    resty_ffi_text_t    query;      /* without the "?" */
    resty_ffi_text_t    protocol;   /* "1.1", "2" */
    resty_ffi_text_t    scheme;     /* "http" or "https" */
    resty_ffi_text_t    client;     /* its address; "unix:" */
    resty_ffi_text_t    server;     /* the address it has connected to */
    uint32_t            client_port;    /* 0: there is none */
    uint32_t            server_port;
    uint32_t            nfields;
    uint32_t            fields;     /* offset of as many resty_ffi_field_t, in
                                       the client's order */
    resty_ffi_text_t    root_path;  /* what of path leads to the application,
                                       as nginx.conf says; "" */
    uint32_t            nparams;    /* what nginx.conf says besides */
    uint32_t            params;     /* offset of as many resty_ffi_field_t,
                                       their names as they are written */
    resty_ffi_tls_t     tls;
    uint32_t            flags;      /* from version 2 on */
} resty_ffi_head_t;

enum {
    /*
     * The client asks for a WebSocket, over HTTP/1.1, and may have one.  If
     * the head of the answer has status 101 its headers are to be those of
     * RFC 6455, without Connection and Upgrade, which nginx adds.  From then
     * on the connection is the runtime's: what the client sends are the
     * request's parts, cut anywhere, with an end where it has closed; the
     * answer's parts are what it gets.  With the answer the connection ends.
     * Any other status is an answer like any other; read then has the end.
     * One event comes when the worker leaves, see RESTY_FFI_LEAVING, if
     * nginx.conf has a worker_shutdown_timeout: a second before that is over;
     * at once where ffi_max_rss or ffi_max_requests has the worker replaced.
     */
    RESTY_FFI_UPGRADE = 1,

    /*
     * This nginx sends early hints, where its directive early_hints lets it:
     * heads of status 103, as many as there are, before that of the answer.
     */
    RESTY_FFI_EARLY_HINTS = 2
};

#define RESTY_FFI_TEXT(head, text)                                            \
    ((const char *) (head) + (text).offset)
#define RESTY_FFI_FIELDS(head)                                                \
    ((const resty_ffi_field_t *) ((const char *) (head) + (head)->fields))
#define RESTY_FFI_PARAMS(head)                                                \
    ((const resty_ffi_field_t *) ((const char *) (head) + (head)->params))

/*
 * The head of a web request, valid until it is answered; NULL if tsk is any
 * other task, or none.  It is the request's bytes: take_req has it for keeps.
 */
RESTY_FFI_API const resty_ffi_head_t *resty_ffi_head(void *tsk);

/* for the answer */
typedef struct {
    const char         *name;
    size_t              name_len;
    const char         *value;
    size_t              value_len;
} resty_ffi_header_t;

/*
 * Sends the head of the answer to a web request, before its first part: the
 * status, 200 to 999, or 101 to a request with RESTY_FFI_UPGRADE, and n
 * headers, which are copied.  Or hints, with status 103, which an nginx that
 * has no RESTY_FFI_EARLY_HINTS throws away.  nginx's fields
 * (Content-Length, Content-Type, Location, Date, ...) become nginx's own.
 * Connection, Keep-Alive, Proxy-Connection, TE, Transfer-Encoding and Upgrade
 * are nginx's business, and left out.  The client gets the head with the first
 * part, or at once where none follows.
 * Returns 0, or an error number; nothing is sent then:
 *   EINVAL  tsk is no web request, or has its head; a status out of range; a
 *           name that is no token; CR, LF or NUL in a value; more than 1 MiB.
 *   EPIPE   nobody waits for the answer any more, or tsk is no task.
 *   ENOMEM  memory ran out.
 */
RESTY_FFI_API int resty_ffi_send_head(void *tsk, int status,
    const resty_ffi_header_t *headers, size_t n);

/*
 * Sends a part of the answer to a web request that is a range of a regular
 * file, which fd has open for reading: len bytes from offset on, wherever fd
 * is in it.  Nothing is read before the client takes it, with sendfile() where
 * nginx.conf says so.  If the file is shorter then, the client's answer ends
 * as one that has failed.  It counts for 4 096 bytes, however long it is.
 * fd is taken over if the result is 0, and closed once the bytes are sent, or
 * are not wanted any more: dup() one that is to be kept.
 * fd is one of the calling thread's: of one that has parted (resty_ffi_thread)
 * it goes to nginx through a socket, as their descriptors are none of nginx's.
 * Returns 0, or an error number; nothing is taken then.  As of send, and
 *   EINVAL  no regular file, or not open for reading; offset or len negative;
 *           tsk is no web request.
 *   EMFILE  it could not be passed to nginx, as some 200 are on their way:
 *           read the file, and send its bytes.
 */
RESTY_FFI_API int resty_ffi_send_file(void *tsk, int fd, int64_t offset,
    int64_t len);

/*
 * Sends n trailers of the answer to a web request, after its head: the client
 * gets them behind the last part.  Several calls add up.  They reach clients of
 * HTTP/2, and of HTTP/1.1 if the answer is chunked: it is without a
 * Content-Length, or where the head has a Trailer.
 * Returns 0, or an error number, as send_head; EINVAL, too, if there is no
 * head.
 */
RESTY_FFI_API int resty_ffi_send_trailers(void *tsk,
    const resty_ffi_header_t *headers, size_t n);


/* ---- starting, and error.log ----------------------------------------- */

/*
 * Reports the end of an asynchronous start, once.  rc 0: the runtime takes
 * calls from now on; else the load fails with the text err (copied; len
 * bytes; may be NULL) and the queue is closed.
 */
RESTY_FFI_API void resty_ffi_started(void *tq, int rc,
    const char *err, int len);

enum {
    RESTY_FFI_LOG_CRIT   = 3,
    RESTY_FFI_LOG_ERR    = 4,
    RESTY_FFI_LOG_WARN   = 5,
    RESTY_FFI_LOG_NOTICE = 6,
    RESTY_FFI_LOG_INFO   = 7,
    RESTY_FFI_LOG_DEBUG  = 8
};

/*
 * Writes msg (len bytes, copied, may have several lines) to error.log soon,
 * on nginx's thread, without what is beyond 65 536 bytes.  While more than
 * 1 000 such texts wait, further ones are lost, and counted.
 */
RESTY_FFI_API void resty_ffi_log(int level, const char *msg, int len);

/*
 * The same of a task: while its caller waits, the line goes where the request's
 * own lines go, and names client and request as they do.  If tsk is no task,
 * or nobody waits, it is as resty_ffi_log.
 */
RESTY_FFI_API void resty_ffi_log_of(void *tsk, int level, const char *msg,
    int len);

/* Of the most verbose error_log: lines above this level reach none. */
RESTY_FFI_API int resty_ffi_log_level(void);

/*
 * For resty_ffi_describe.  What the runtime does for tsk, the innermost line
 * last; copied.
 */
RESTY_FFI_API void resty_ffi_described(void *tsk, const char *text, int len);


#ifdef __cplusplus
}
#endif

#endif /* RESTY_FFI_H */
