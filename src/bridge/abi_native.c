/* SPDX-License-Identifier: BSD-2-Clause */

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "resty_ffi.h"

#include "abi.h"
#include "answer.h"
#include "consumer.h"
#include "events.h"
#include "log.h"
#include "spawn.h"
#include "threads.h"
#include "wake.h"


static void
misuse(const char *function, void *tsk)
{
    bridge_logf(bridge_host(), RESTY_FFI_LOG_ERR,
                "FFI013: ffi: %s(%p): not a task that waits for its answer; "
                "the runtime answered it twice, or made it up", function,
                tsk);
}


/* a handle is as large as a pointer, on every platform nginx has eventfd on */
_Static_assert(sizeof(uint64_t) == sizeof(void *), "64-bit only");


int
resty_ffi_poll_batch(void *tq, void **tasks, int max, int timeout_ms)
{
    if (max < 0) {
        return 0;
    }

    return bridge_poll(bridge_host(), bridge_number(tq),
                       (uint64_t *) tasks, max,
                       timeout_ms);
}


void
resty_ffi_respond_ref(void *tsk, int rc, const void *rsp,
    size_t rsp_len, void (*release)(void *arg, int delivered), void *arg)
{
    bool  dead;

    dead = bridge_host_dead();

    if (!dead && bridge_task_answer(bridge_host(), bridge_number(tsk), rc,
                                    rsp, rsp_len, release, arg))
    {
        return;
    }

    if (release) {
        release(arg, 0);
    }

    if (!dead) {
        misuse("respond_ref", tsk);
    }
}


void
resty_ffi_respond_copy(void *tsk, int rc, const void *rsp,
    size_t rsp_len)
{
    if (!bridge_host_dead()
        && !bridge_task_answer_copy(bridge_host(), bridge_number(tsk), rc,
                                            rsp, rsp_len))
    {
        misuse("respond_copy", tsk);
    }
}


char *
resty_ffi_take_req(void *tsk, int *len)
{
    return bridge_task_take_req(bridge_host(), bridge_number(tsk), len);
}


const char *
resty_ffi_method(void *tsk, int *len)
{
    return bridge_task_method(bridge_host(), bridge_number(tsk), len);
}


void
resty_ffi_no_method(void *tsk)
{
    bridge_task_no_method(bridge_host(), bridge_number(tsk));
}


int64_t
resty_ffi_deadline(void *tsk)
{
    return bridge_task_deadline(bridge_host(), bridge_number(tsk));
}


int
resty_ffi_cancelled(void *tsk)
{
    return bridge_task_cancelled(bridge_host(), bridge_number(tsk));
}


int
resty_ffi_poll_events(void *tq, void **tasks, int max, int own)
{
    return bridge_host_dead()
           ? 0 : bridge_events_take(bridge_host(), bridge_number(tq),
                                    (uint64_t *) tasks, max, own != 0);
}


int
resty_ffi_thread(void *tq, void *(*start)(void *arg), void *arg,
    size_t stack)
{
    bridge_queue_t  *q;

    if (bridge_host_dead()) {
        return EAGAIN;
    }

    q = NULL;

    if (tq) {
        q = bridge_queue_find(bridge_host(), bridge_number(tq));

        if (q == NULL
            || atomic_load(&q->fd) != -1
            || !pthread_equal(pthread_self(), bridge_host()->host))
        {
            return EINVAL;
        }
    }

    return bridge_spawn(bridge_host(), q, start, arg, stack);
}


int
resty_ffi_eventfd(void *tq)
{
    return bridge_host_dead()
           ? -1 : bridge_queue_fd(bridge_host(), bridge_number(tq));
}


int
resty_ffi_arm(void *tq)
{
    if (bridge_host_dead()) {
        return 1;
    }

    if (!bridge_queue_read_fd(bridge_host(), bridge_number(tq))) {
        return -1;
    }

    return bridge_queue_arm(bridge_host(), bridge_number(tq));
}


void
resty_ffi_kick(void *tq)
{
    if (!bridge_host_dead()) {
        bridge_kick(bridge_host(), bridge_number(tq));
    }
}


void
resty_ffi_default_timeout(void *tq, int ms)
{
    bridge_queue_t  *q;

    q = bridge_queue_pin(bridge_host(), bridge_number(tq));
    if (q) {
        atomic_store(&q->timeout, ms > 0 ? ms : 0);
        bridge_queue_unpin(q);
    }
}


void
resty_ffi_buffer_requests(void *tq)
{
    bridge_queue_t  *q;

    q = bridge_queue_pin(bridge_host(), bridge_number(tq));
    if (q) {
        atomic_store(&q->whole, true);
        bridge_queue_unpin(q);
    }
}


void
resty_ffi_quiet(void *tq, int us)
{
    bridge_queue_t  *q;

    q = bridge_queue_pin(bridge_host(), bridge_number(tq));
    if (q) {
        atomic_store(&q->quiet, us > 0 ? (uint32_t) us : 0);
        bridge_queue_unpin(q);
    }
}


void
resty_ffi_lock_waited(void *tq, int64_t ns)
{
    bridge_queue_t  *q;

    q = bridge_queue_pin(bridge_host(), bridge_number(tq));
    if (q) {
        atomic_fetch_add_explicit(&q->lock_ns, ns > 0 ? (uint64_t) ns : 0,
                                  memory_order_relaxed);
        atomic_fetch_add_explicit(&q->locks, 1, memory_order_relaxed);
        bridge_queue_unpin(q);
    }
}


void
resty_ffi_accept_upgrades(void *tq)
{
    bridge_queue_t  *q;

    q = bridge_queue_pin(bridge_host(), bridge_number(tq));
    if (q) {
        atomic_store(&q->upgrades, true);
        bridge_queue_unpin(q);
    }
}


double
resty_ffi_option(void *tq, int option, double missing)
{
    double           value;
    bridge_queue_t  *q;

    value = missing;

    q = bridge_queue_pin(bridge_host(), bridge_number(tq));
    if (q == NULL) {
        return missing;
    }

    if (option >= 0 && option < BRIDGE_QUEUE_OPTIONS
        && q->options[option] == q->options[option])
    {
        value = q->options[option];
    }

    bridge_queue_unpin(q);

    return value;
}


void
resty_ffi_name(void *tq, const char *name)
{
    size_t           len;
    bridge_queue_t  *q;

    if (name == NULL) {
        return;
    }

    q = bridge_queue_pin(bridge_host(), bridge_number(tq));
    if (q == NULL) {
        return;
    }

    if (!atomic_exchange(&q->naming, true)) {
        len = strnlen(name, sizeof(q->name) - 1);
        memcpy(q->name, name, len);
        q->name[len] = '\0';
        atomic_store(&q->named, true);
    }

    bridge_queue_unpin(q);
}


int
resty_ffi_pollers(void *tq, int *tids, int max)
{
    return bridge_host_dead()
           ? 0 : bridge_threads_list(bridge_host(), bridge_number(tq), tids,
                                     max);
}


int
resty_ffi_exiting(void)
{
    return atomic_load_explicit(&bridge_host()->exiting,
                                memory_order_relaxed);
}


int64_t
resty_ffi_exit_deadline(void)
{
    return atomic_load_explicit(&bridge_host()->exit_at,
                                memory_order_relaxed);
}
