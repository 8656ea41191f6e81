#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resty_ffi.h"

#include "cfg.h"
#include "interpreter.h"
#include "leave.h"
#include "report.h"


/* import and init may take seconds, and are not nginx's business */
const int  resty_ffi_async = 1;


typedef struct {
    void   *tq;
    cfg_t   cfg;
    char    text[];
} start_t;


static void
report(void *tq, const char *err)
{
    resty_ffi_started(tq, 1, err, (int) strlen(err));
}


static void
free_start(PyObject *capsule)
{
    free(PyCapsule_GetPointer(capsule, NULL));
}


/*
 * GIL held.  Python has a thread of its own load it, which reports; -1 with
 * an exception set.  Takes s.
 */
static int
load(start_t *s)
{
    PyObject  *bootstrap, *capsule, *result;

    capsule = PyCapsule_New(s, NULL, free_start);
    if (capsule == NULL) {
        free(s);
        return -1;
    }

    bootstrap = interpreter_bootstrap();

    result = PyObject_CallMethod(bootstrap, "start_thread", "zsisKKyO",
                                 s->cfg.directory, s->cfg.module,
                                 (int) s->cfg.fresh, s->cfg.function,
                                 (unsigned long long)
                                     (uintptr_t) s->cfg.config,
                                 (unsigned long long) (uintptr_t) s->tq,
                                 s->cfg.config, capsule);

    Py_XDECREF(result);
    Py_DECREF(bootstrap);
    Py_DECREF(capsule);

    return result ? 0 : -1;
}


static void *
start_thread(void *arg)
{
    void              *tq;
    start_t           *s = arg;
    char               why[512], text[600];
    PyGILState_STATE   state;

    tq = s->tq;

    if (!interpreter_start(why, sizeof(why))) {
        snprintf(text, sizeof(text), "ffi_python3: %s", why);
        resty_ffi_log(RESTY_FFI_LOG_ERR, text, (int) strlen(text));
        report(tq, text);
        free(s);
        return NULL;
    }

    state = interpreter_attach();

    if (load(s) == -1) {
        PyErr_Print();
        report(tq, "ffi_python3: internal error: see error.log");
    }

    interpreter_detach(state);

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
    char         text[128];
    size_t       size;
    start_t     *s;
    const char  *wrong;

    size = cfg ? strlen(cfg) + 1 : 0;

    s = malloc(sizeof(start_t) + size);
    if (s == NULL) {
        return -1;
    }

    s->tq = tq;

    if (cfg) {
        memcpy(s->text, cfg, size);
    }

    wrong = cfg_parse(&s->cfg, cfg ? s->text : NULL);
    if (wrong) {
        snprintf(text, sizeof(text),
                 "ffi_python3: cfg must be \"module,function[,config]\": %s",
                 wrong);
        report(tq, text);
        free(s);
        return 0;
    }

    if (interpreter_thread(tq, start_thread, s) != 0) {
        report(tq, "ffi_python3: no thread to be had");
        free(s);
    }

    return 0;
}
