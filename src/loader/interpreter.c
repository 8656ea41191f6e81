/* SPDX-License-Identifier: BSD-2-Clause */

#include "interpreter.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "resty_ffi.h"

#include "builtin.h"
#include "pending.h"
#include "thread.h"
#include "venv.h"

#include "bootstrap_py.h"
#include "cfg_py.h"
#include "errors_py.h"
#include "fresh_py.h"
#include "imports_py.h"
#include "leave_py.h"
#include "limit_py.h"
#include "lines_py.h"
#include "logs_py.h"
#include "main_thread_py.h"
#include "speaker_py.h"
#include "threads_py.h"
#include "watched_py.h"


#define PACKAGES  "/resty-python"

/* a module, the file in its stacks, and its source */
#define COMPILED_IN(name)                                                     \
    { "resty_ffi._loader." #name, "<resty_ffi " #name ">", name ## _py }


static pthread_mutex_t  lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t   changed = PTHREAD_COND_INITIALIZER;
static enum { NOT_STARTED, STARTING, RUNNING, NO_BOOTSTRAP, FAILED } phase;
static char             error[512];
static PyObject        *bootstrap;


/*
 * PYTHONPATH without empty entries: one would be the current directory,
 * wherever nginx was started, and nobody has written that.  malloc'ed.
 */
static char *
search_path(void)
{
    char        *paths, *last;
    const char  *entry, *end;

    entry = getenv("PYTHONPATH");
    if (entry == NULL) {
        entry = "";
    }

    paths = malloc(strlen(entry) + 1);
    if (paths == NULL) {
        return NULL;
    }

    last = paths;

    for ( ;; ) {
        end = strchrnul(entry, ':');

        if (end > entry) {
            if (last > paths) {
                *last++ = ':';
            }

            last = mempcpy(last, entry, (size_t) (end - entry));
        }

        if (*end == '\0') {
            break;
        }

        entry = end + 1;
    }

    *last = '\0';

    return paths;
}


/*
 * What can be done before Python begins to start, of which there is no second
 * time.  Where it fails: NULL, error says why, and it can be tried again; else
 * what search_path gives.  python: room for a path.
 */
static char *
prepare(char *python)
{
    char         why[480];
    char        *paths;
    static bool  prepared;

    if (!prepared) {
        prepared = pending_prepare()
                   && thread_watch_forks()
                   && PyImport_AppendInittab("_resty_ffi", builtin_init) == 0;
    }

    paths = prepared ? search_path() : NULL;

    if (paths == NULL) {
        snprintf(error, sizeof(error), "cannot start Python: no memory");

    } else if (!venv_python(python, PATH_MAX, why, sizeof(why))) {
        snprintf(error, sizeof(error), "cannot start Python: %s", why);
        free(paths);
        paths = NULL;
    }

    return paths;
}


static PyStatus
initialize(const char *python, const char *paths)
{
    size_t    i;
    PyStatus  status;
    PyConfig  config;

    PyConfig_InitPythonConfig(&config);

    config.install_signal_handlers = 0;
    config.parse_argv = 0;
    config.buffered_stdio = 0;

    /*
     * The standard library is below home, whatever python's own is; site
     * finds the packages of an environment by its python.
     */

    const struct {
        wchar_t     **field;
        const char   *value;
    } texts[] = {
        { &config.home, RESTY_FFI_HOME },
        { &config.base_executable, RESTY_FFI_BASE_PYTHON },
        { &config.executable, python },
        { &config.program_name, python },
        { &config.pythonpath_env, *paths ? paths : NULL }
    };

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        status = PyConfig_SetBytesString(&config, texts[i].field,
                                         texts[i].value);
        if (PyStatus_Exception(status)) {
            goto done;
        }
    }

    if (*paths == '\0') {
        (void) unsetenv("PYTHONPATH");
    }

    status = Py_InitializeFromConfig(&config);

done:

    PyConfig_Clear(&config);

    return status;
}


/* of threads that Python starts; its code may ask for another size */
static bool
set_stack_size(void)
{
    PyObject  *module, *result;

    result = NULL;

    module = PyImport_ImportModule("_thread");
    if (module) {
        result = PyObject_CallMethod(module, "stack_size", "n",
                                     (Py_ssize_t) THREAD_STACK);
        Py_DECREF(module);
    }

    Py_XDECREF(result);

    return result != NULL;
}


/*
 * Puts the folder of packages that is beside this library behind all others:
 * an environment of users' own does not have them.
 */
static bool
add_packages(void)
{
    int        rc;
    char      *slash;
    char       folder[PATH_MAX + sizeof(PACKAGES)];
    Dl_info    info;
    PyObject  *path, *entry;

    if (dladdr((void *) interpreter_start, &info) == 0
        || realpath(info.dli_fname, folder) == NULL
        || (slash = strrchr(folder, '/')) == NULL)
    {
        return true;
    }

    (void) strcpy(slash, PACKAGES);

    if (access(folder, R_OK | X_OK) == -1) {
        return true;
    }

    path = PySys_GetObject("path");
    if (path == NULL || !PyList_Check(path)) {
        return true;
    }

    entry = PyUnicode_DecodeFSDefault(folder);
    rc = entry ? PyList_Append(path, entry) : -1;
    Py_XDECREF(entry);

    return rc == 0;
}


/* the last of the modules that are compiled in; NULL with an exception set */
static PyObject *
run_bootstrap(void)
{
    static const struct {
        const char           *name;
        const char           *file;
        const unsigned char  *source;
    } modules[] = {
        COMPILED_IN(errors),
        COMPILED_IN(cfg),
        COMPILED_IN(imports),
        COMPILED_IN(limit),
        COMPILED_IN(speaker),
        COMPILED_IN(threads),
        COMPILED_IN(leave),
        COMPILED_IN(lines),
        COMPILED_IN(logs),
        COMPILED_IN(main_thread),
        COMPILED_IN(fresh),
        COMPILED_IN(watched),
        COMPILED_IN(bootstrap)
    };

    size_t     i;
    PyObject  *code, *module;

    if (!set_stack_size() || !add_packages()) {
        return NULL;
    }

    module = NULL;

    for (i = 0; i < sizeof(modules) / sizeof(modules[0]); i++) {
        Py_XDECREF(module);

        code = Py_CompileString((const char *) modules[i].source,
                                modules[i].file, Py_file_input);
        if (code == NULL) {
            return NULL;
        }

        module = PyImport_ExecCodeModule(modules[i].name, code);
        Py_DECREF(code);

        if (module == NULL) {
            return NULL;
        }
    }

    return module;
}


static void
set_phase(int value)
{
    pthread_mutex_lock(&lock);
    phase = value;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}


static void
wait_for_next_start(void)
{
    pthread_mutex_lock(&lock);

    while (phase != STARTING) {
        pthread_cond_wait(&changed, &lock);
    }

    pthread_mutex_unlock(&lock);
}


/* Python's main thread */
static void *
main_thread(void *arg)
{
    static const char  unnoticed[] =
        "FFI023: ffi_python3: "
        "libpython was in nginx before: what C extensions queue "
        "by Py_AddPendingCall does not run";

    char            python[PATH_MAX];
    char           *paths;
    PyStatus        status;
    PyThreadState  *state;

    (void) arg;

    paths = prepare(python);
    if (paths == NULL) {
        set_phase(NOT_STARTED);
        return NULL;
    }

    status = initialize(python, paths);
    free(paths);

    if (PyStatus_Exception(status)) {
        snprintf(error, sizeof(error), "cannot start Python: %s: %s",
                 status.func ? status.func : "Python",
                 status.err_msg ? status.err_msg : "exit requested");
        set_phase(FAILED);
        return NULL;
    }

    while ((bootstrap = run_bootstrap()) == NULL) {
        PyErr_Print();
        snprintf(error, sizeof(error), "cannot start Python: its standard "
                 "library does not work: see error.log");

        state = PyEval_SaveThread();
        set_phase(NO_BOOTSTRAP);
        wait_for_next_start();
        PyEval_RestoreThread(state);
    }

    if (!pending_is_noticed()) {
        resty_ffi_log(RESTY_FFI_LOG_WARN, unnoticed,
                      sizeof(unnoticed) - 1);
    }

    state = PyEval_SaveThread();
    set_phase(RUNNING);

    pending_run(state);
}


bool
interpreter_start(char *why, size_t size)
{
    bool  running;

    pthread_mutex_lock(&lock);

    if (phase == NOT_STARTED) {
        phase = STARTING;

        if (thread_start(NULL, main_thread, NULL) != 0) {
            phase = NOT_STARTED;
            snprintf(error, sizeof(error),
                     "cannot start Python: no thread to be had");
        }

    } else if (phase == NO_BOOTSTRAP) {
        phase = STARTING;
        pthread_cond_broadcast(&changed);
    }

    while (phase == STARTING) {
        pthread_cond_wait(&changed, &lock);
    }

    running = phase == RUNNING;

    if (!running) {

        /* the next try writes another one */

        snprintf(why, size, "%s", error);
    }

    pthread_mutex_unlock(&lock);

    return running;
}


bool
interpreter_running(void)
{
    bool  running;

    pthread_mutex_lock(&lock);
    running = phase == RUNNING;
    pthread_mutex_unlock(&lock);

    return running;
}


PyObject *
interpreter_bootstrap(void)
{
    Py_INCREF(bootstrap);
    return bootstrap;
}
