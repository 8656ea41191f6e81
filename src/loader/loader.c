/* SPDX-License-Identifier: BSD-2-Clause */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resty_ffi.h"

#include "interpreter.h"
#include "leave.h"
#include "report.h"
#include "thread.h"


/* import and init may take seconds, and are not nginx's business */
const int  resty_ffi_async = 1;


/* of what error.log is told, and Lua is not */
#define CODE  "FFI021: "


typedef struct {
    void   *tq;
    bool    has_cfg;
    char    cfg[];
} start_t;


static void
report(void *tq, const char *err)
{
    resty_ffi_started(tq, 1, err, (int) strlen(err));
}


/*
 * GIL held.  Python has a thread of its own load it, which reports; -1 with
 * an exception set.
 */
static int
load(const start_t *s)
{
    PyObject  *bootstrap, *cfg, *result;

    /* these bytes are what the function of a poll loop reads */

    cfg = s->has_cfg ? PyBytes_FromString(s->cfg) : Py_NewRef(Py_None);
    if (cfg == NULL) {
        return -1;
    }

    bootstrap = interpreter_bootstrap();

    result = PyObject_CallMethod(bootstrap, "start_thread", "OKK", cfg,
                                 (unsigned long long) (uintptr_t)
                                     (s->has_cfg ? PyBytes_AS_STRING(cfg)
                                                 : NULL),
                                 (unsigned long long) (uintptr_t) s->tq);

    Py_XDECREF(result);
    Py_DECREF(bootstrap);
    Py_DECREF(cfg);

    return result ? 0 : -1;
}


static void *
start_thread(void *arg)
{
    start_t           *s = arg;
    char               why[512], text[600];
    PyGILState_STATE   state;

    if (!interpreter_start(why, sizeof(why))) {
        snprintf(text, sizeof(text), CODE "ffi_python3: %s", why);
        resty_ffi_log(RESTY_FFI_LOG_ERR, text, (int) strlen(text));
        report(s->tq, text + sizeof(CODE) - 1);
        free(s);
        return NULL;
    }

    state = thread_attach();

    if (load(s) == -1) {
        PyErr_Print();
        report(s->tq, "ffi_python3: internal error: see error.log");
    }

    thread_detach(state);
    free(s);

    return NULL;
}


/* nginx's thread */
void
resty_ffi_exit(int timeout_ms)
{
    leave(timeout_ms);
}


/* nginx's thread */
void
resty_ffi_describe(void *tsk, int tid)
{
    if (interpreter_running()) {
        report_describe(tsk, tid);
    }
}


/* nginx's thread */
const char *
resty_ffi_about(void)
{
    int          n;
    const char  *version;

    static char  about[32];

    version = Py_GetVersion();
    n = (int) strcspn(version, " ");

    snprintf(about, sizeof(about), "CPython %.*s", n, version);

    return about;
}


/* nginx's thread */
void
resty_ffi_report(void *tq)
{
    if (interpreter_running()) {
        report_ask(tq);
    }
}


/* nginx's thread */
int
libffi_init(char *cfg, void *tq)
{
    size_t    size;
    start_t  *s;

    size = cfg ? strlen(cfg) + 1 : 0;

    s = malloc(sizeof(start_t) + size);
    if (s == NULL) {
        return -1;
    }

    s->tq = tq;
    s->has_cfg = cfg != NULL;

    if (cfg) {
        memcpy(s->cfg, cfg, size);
    }

    if (thread_start(tq, start_thread, s) != 0) {
        report(tq, "ffi_python3: no thread to be had");
        free(s);
    }

    return 0;
}
