/* SPDX-License-Identifier: BSD-2-Clause */

#include "fatal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>


#define MAX_METHOD  16
#define MAX_PATH    200

#define COUNT(array)  (sizeof(array) / sizeof((array)[0]))


/* of one thread */
typedef struct {
    size_t  len;
    char    text[MAX_METHOD + 1 + MAX_PATH];
} request_t;

typedef struct {
    size_t  len;
    char    text[sizeof(request_t) + 128];
} line_t;


static const int         signals[] = {
    SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL
};
static struct sigaction  previous[COUNT(signals)];

/* the first use of any other model allocates, which a handler must not */
static _Thread_local __attribute__((tls_model("initial-exec")))
request_t               *request;

static pthread_key_t     ended;
static bool              watching;


static void
add(line_t *line, const char *text, size_t len)
{
    size_t  room;

    room = sizeof(line->text) - line->len;
    len = len < room ? len : room;

    memcpy(line->text + line->len, text, len);
    line->len += len;
}


static void
add_string(line_t *line, const char *text)
{
    add(line, text, strlen(text));
}


/* of two digits at most */
static void
add_number(line_t *line, int number)
{
    char  digits[2];

    digits[0] = (char) ('0' + number / 10);
    digits[1] = (char) ('0' + number % 10);

    add(line, digits + (number < 10), 2 - (number < 10));
}


static void
write_line(int signo)
{
    char    name[16];
    line_t  line;

    line.len = 0;
    name[0] = '\0';
    (void) prctl(PR_GET_NAME, name);

    add_string(&line, "FFI029: ffi_python3: signal ");
    add_number(&line, signo);
    add_string(&line, " in thread \"");
    add(&line, name, strnlen(name, sizeof(name)));
    add_string(&line, "\"");

    if (request) {
        add_string(&line, ", whose last request is \"");
        add(&line, request->text, request->len);
        add_string(&line, "\"");
    }

    add_string(&line, "\n");

    (void) !write(STDERR_FILENO, line.text, line.len);
}


static void
handle(int signo)
{
    int     saved;
    size_t  i;

    saved = errno;

    for (i = 0; i < COUNT(signals); i++) {
        (void) sigaction(signals[i], &previous[i], NULL);
    }

    write_line(signo);
    errno = saved;

    /* comes at once: SA_NODEFER */

    (void) raise(signo);
}


static void
end_thread(void *arg)
{
    request = NULL;
    free(arg);
}


/* the Python stack is its business; what it replaces comes after it */
static int
enable_faulthandler(void)
{
    PyObject  *module, *enable, *args, *kwargs, *result;

    enable = args = kwargs = result = NULL;

    module = PyImport_ImportModule("faulthandler");
    if (module == NULL) {
        goto done;
    }

    enable = PyObject_GetAttrString(module, "enable");
    args = PyTuple_New(0);
    kwargs = Py_BuildValue("{s:i,s:O}", "file", STDERR_FILENO,
                           "all_threads", Py_False);

    if (enable && args && kwargs) {
        result = PyObject_Call(enable, args, kwargs);
    }

done:

    Py_XDECREF(kwargs);
    Py_XDECREF(args);
    Py_XDECREF(enable);
    Py_XDECREF(module);
    Py_XDECREF(result);

    return result ? 0 : -1;
}


int
fatal_watch(void)
{
    size_t            i;
    struct sigaction  action;

    if (watching) {
        return 0;
    }

    if (enable_faulthandler() == -1) {
        return -1;
    }

    /* others may have come while it let go of the GIL */

    if (watching) {
        return 0;
    }

    if (pthread_key_create(&ended, end_thread) != 0) {
        PyErr_NoMemory();
        return -1;
    }

    watching = true;

    memset(&action, 0, sizeof(action));
    action.sa_handler = handle;
    action.sa_flags = SA_NODEFER | SA_ONSTACK;
    sigemptyset(&action.sa_mask);

    for (i = 0; i < COUNT(signals); i++) {
        (void) sigaction(signals[i], &action, &previous[i]);
    }

    return 0;
}


/* clients choose them: no control character is to begin a line of a log */
static size_t
copy(char *to, const char *from, size_t len, size_t max)
{
    size_t  i;

    len = len < max ? len : max;

    for (i = 0; i < len; i++) {
        to[i] = from[i];

        if ((unsigned char) from[i] < ' ' || from[i] == 0x7f) {
            to[i] = '?';
        }
    }

    return len;
}


void
fatal_note(const resty_ffi_head_t *head)
{
    size_t      len;
    request_t  *r;

    r = request;

    if (r == NULL) {
        if (!watching) {
            return;
        }

        r = calloc(1, sizeof(request_t));
        if (r == NULL || pthread_setspecific(ended, r) != 0) {
            free(r);
            return;
        }
    }

    r->len = 0;

    len = copy(r->text, RESTY_FFI_TEXT(head, head->method), head->method.len,
               MAX_METHOD);
    r->text[len++] = ' ';
    len += copy(r->text + len, RESTY_FFI_TEXT(head, head->raw_path),
                head->raw_path.len, MAX_PATH);

    r->len = len;
    request = r;
}
