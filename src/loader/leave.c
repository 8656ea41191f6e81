/* SPDX-License-Identifier: BSD-2-Clause */

#include "leave.h"

#include <pthread.h>
#include <stdbool.h>

#include "resty_ffi.h"

#include "deadline.h"
#include "interpreter.h"
#include "report.h"
#include "thread.h"


/* at most half of the time is kept for atexit, and telling what took it */
#define ATEXIT_MS  1000
#define REPORT_MS  250


static pthread_mutex_t  lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t   changed = PTHREAD_COND_INITIALIZER;
static int              patience;    /* ms */
static bool             left;


static void *
leave_thread(void *arg)
{
    PyObject          *bootstrap, *result;
    PyGILState_STATE   state;

    (void) arg;

    state = thread_attach();

    bootstrap = interpreter_bootstrap();

    result = PyObject_CallMethod(bootstrap, "leave", "i", patience);
    if (result == NULL) {
        PyErr_Print();
    }

    Py_XDECREF(result);
    Py_DECREF(bootstrap);

    thread_detach(state);

    pthread_mutex_lock(&lock);
    left = true;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);

    return NULL;
}


static bool
wait_for_leave(int ms)
{
    int              rc;
    bool             ended;
    struct timespec  end;

    end = deadline_in(ms);

    pthread_mutex_lock(&lock);

    for (rc = 0; !left && rc == 0; /* void */) {
        rc = pthread_cond_clockwait(&changed, &lock, CLOCK_MONOTONIC, &end);
    }

    ended = left;

    pthread_mutex_unlock(&lock);

    return ended;
}


void
leave(int timeout_ms)
{
    static const char  late[] =
        "FFI025: ffi_python3: "
        "atexit callbacks have not ended in time; the worker "
        "leaves without them";

    int  atexit_ms, report_ms;

    atexit_ms = timeout_ms / 2 < ATEXIT_MS ? timeout_ms / 2 : ATEXIT_MS;
    report_ms = timeout_ms / 4 < REPORT_MS ? timeout_ms / 4 : REPORT_MS;

    patience = timeout_ms - atexit_ms;

    if (!interpreter_running()) {
        return;
    }

    if (thread_start(NULL, leave_thread, NULL) != 0
        || !wait_for_leave(timeout_ms - report_ms))
    {
        resty_ffi_log(RESTY_FFI_LOG_WARN, late, sizeof(late) - 1);
        report_ask(NULL);
    }

    report_wait(report_ms);
}
