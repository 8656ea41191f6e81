/* SPDX-License-Identifier: BSD-2-Clause */

#include "report.h"

#include <ctype.h>
#include <dirent.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "resty_ffi.h"

#include "deadline.h"
#include "interpreter.h"
#include "thread.h"


#define PATIENCE_MS  3000


typedef struct ask_s  ask_t;

struct ask_s {
    ask_t  *next;
    void   *tq;
    void   *tsk;    /* NULL: all of tq is meant */
    int     tid;
};


static pthread_mutex_t  lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t   changed = PTHREAD_COND_INITIALIZER;

/* guarded by lock, which is never held by who waits for the GIL */
static ask_t           *asked;      /* not written yet; none if not writing */
static bool             writing;    /* there is a thread for it */
static bool             attached;   /* and it has the GIL */
static bool             watching;


static void
write_report(void *tq)
{
    PyObject  *bootstrap, *result;

    bootstrap = interpreter_bootstrap();

    result = PyObject_CallMethod(bootstrap, "report", "K",
                                 (unsigned long long) (uintptr_t) tq);
    if (result == NULL) {
        PyErr_Print();
    }

    Py_XDECREF(result);
    Py_DECREF(bootstrap);
}


static void
describe(void *tsk, int tid)
{
    PyObject    *bootstrap, *result;
    Py_ssize_t   len;
    const char  *text;

    bootstrap = interpreter_bootstrap();

    result = PyObject_CallMethod(bootstrap, "describe", "Ki",
                                 (unsigned long long) (uintptr_t) tsk, tid);
    text = result ? PyUnicode_AsUTF8AndSize(result, &len) : NULL;

    if (text) {
        resty_ffi_described(tsk, text, (int) len);

    } else {
        PyErr_Print();
    }

    Py_XDECREF(result);
    Py_DECREF(bootstrap);
}


static void *
write_thread(void *arg)
{
    ask_t             *ask;
    PyGILState_STATE   state;

    (void) arg;

    state = thread_attach();

    pthread_mutex_lock(&lock);
    attached = true;

    while (asked) {
        ask = asked;

        pthread_mutex_unlock(&lock);

        if (ask->tsk) {
            describe(ask->tsk, ask->tid);

        } else {
            write_report(ask->tq);
        }

        pthread_mutex_lock(&lock);

        asked = ask->next;
        free(ask);
        pthread_cond_broadcast(&changed);
    }

    attached = false;
    writing = false;
    pthread_mutex_unlock(&lock);

    thread_detach(state);

    return NULL;
}


/* of a file of a thread in /proc, without the end of its line */
static bool
read_line(const char *tid, const char *name, char *line, int size)
{
    char   path[64];
    bool   got;
    FILE  *file;

    (void) snprintf(path, sizeof(path), "/proc/self/task/%.16s/%s", tid,
                    name);

    file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }

    got = fgets(line, size, file) != NULL;
    (void) fclose(file);

    if (got) {
        line[strcspn(line, "\n")] = '\0';
    }

    return got;
}


/* its state is the letter behind its name, which may be anything */
static bool
is_running(const char *tid)
{
    char   line[256];
    char  *end;

    if (!read_line(tid, "stat", line, sizeof(line))) {
        return false;
    }

    end = strrchr(line, ')');

    return end && strncmp(end, ") R", 3) == 0;
}


/* what the kernel knows of a thread; its length, as snprintf's */
static int
describe_thread(char *text, size_t room, const char *tid)
{
    char  name[32], where[64];

    if (!read_line(tid, "comm", name, sizeof(name))) {
        return 0;
    }

    /* "0": it is in no system call, or we may not know */

    if (!read_line(tid, "wchan", where, sizeof(where))
        || !isalpha((unsigned char) where[0]))
    {
        where[0] = '\0';
    }

    return snprintf(text, room, "\n  thread %s \"%s\" %s%s%s", tid, name,
                    is_running(tid) ? "runs" : "sleeps",
                    where[0] ? " in " : "", where);
}


/*
 * Which of them has the GIL only the interpreter knows; those that wait for
 * it sleep in a futex.
 */
static void
tell_gil_is_held(void)
{
    static const char  what[] =
        "FFI027: ffi_python3: the Python stacks of its threads cannot be had: "
        "something holds the GIL, a C extension perhaps. All threads but "
        "nginx's own:";

    int             n;
    DIR            *dir;
    char            text[4096];
    size_t          len;
    struct dirent  *entry;

    memcpy(text, what, sizeof(what));
    len = sizeof(what) - 1;

    dir = opendir("/proc/self/task");

    while (dir && (entry = readdir(dir)) != NULL) {
        if (!isdigit((unsigned char) entry->d_name[0])
            || atol(entry->d_name) == (long) getpid())
        {
            continue;
        }

        n = describe_thread(text + len, sizeof(text) - len, entry->d_name);

        if (n < 0 || (size_t) n >= sizeof(text) - len) {
            break;
        }

        len += (size_t) n;
    }

    if (dir) {
        (void) closedir(dir);
    }

    resty_ffi_log(RESTY_FFI_LOG_ERR, text, (int) len);
}


/* lock held; whether what was asked for could not even be begun */
static bool
wait_in_vain(int ms)
{
    int              rc;
    struct timespec  end;

    end = deadline_in(ms);

    for (rc = 0; asked && rc == 0; /* void */) {
        rc = pthread_cond_clockwait(&changed, &lock, CLOCK_MONOTONIC, &end);
    }

    return asked && !attached;
}


void
report_wait(int ms)
{
    bool  held;

    pthread_mutex_lock(&lock);
    held = wait_in_vain(ms);
    pthread_mutex_unlock(&lock);

    if (held) {
        tell_gil_is_held();
    }
}


static void *
watch_thread(void *arg)
{
    bool  held;

    (void) arg;

    pthread_mutex_lock(&lock);
    held = wait_in_vain(PATIENCE_MS);
    watching = false;
    pthread_mutex_unlock(&lock);

    if (held) {
        tell_gil_is_held();
    }

    return NULL;
}


static void
put(void *tq, void *tsk, int tid)
{
    ask_t  *ask, **last;

    ask = malloc(sizeof(ask_t));
    if (ask == NULL) {
        return;
    }

    ask->next = NULL;
    ask->tq = tq;
    ask->tsk = tsk;
    ask->tid = tid;

    pthread_mutex_lock(&lock);

    if (!writing) {
        writing = thread_start(NULL, write_thread, NULL) == 0;
    }

    for (last = &asked;
         *last && ((*last)->tq != tq || (*last)->tsk != tsk);
         last = &(*last)->next)
    {
        /* void */
    }

    if (*last || !writing) {
        free(ask);

    } else {
        *last = ask;
    }

    if (writing && !watching) {
        watching = thread_start(NULL, watch_thread, NULL) == 0;
    }

    pthread_mutex_unlock(&lock);
}


void
report_ask(void *tq)
{
    put(tq, NULL, 0);
}


void
report_describe(void *tsk, int tid)
{
    put(NULL, tsk, tid);
}
