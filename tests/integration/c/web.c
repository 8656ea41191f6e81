/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A web application that does as each request's field "do" tells it, on a
 * thread of the request's own.  Commands are parted by ";", and %XX is a byte:
 *
 *     head=STATUS,NAME:VALUE,...     part=TEXT      ref=BYTES
 *     trailers=NAME:VALUE,...
 *     fill=BYTES        a text of so many in parts of 1 000, waited for
 *     endless           parts of 1 000, until one fails
 *     file=PATH,OFFSET,LENGTH,MODE,TIMES
 *                       a range of a file, so many times (1); MODE: r, w, p (by
 *                       its path alone), or | (a pipe)
 *     fds               how many descriptors this thread has, as a part
 *     dump              the request's head, as a part
 *     echo              the body's parts, as they come
 *     body              reads all of it; its length becomes a part
 *     read              one part of it
 *     results           what each command has returned so far, as a part
 *     counts            requests, live ones, gone, parts not released, parts
 *                       not delivered, as a part
 *     flags             those of the request's head, as a part
 *     sleep=MS          gone, leaving: waits until the client has gone, or the
 *                       worker leaves
 *     end=STATUS,TEXT   answers; else status 0 and no text
 *     never             does not answer
 *
 * cfg: "busy" takes one request, and no more while it runs; "start=FILE"
 * starts when that is there, "fail=FILE" fails then; "die" ends at the first
 * request; "parted" has threads that have parted from nginx; "upgrades" takes
 * connections that are upgraded.
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "resty_ffi.h"

#define MAX_HEADERS  2000

#ifdef ASYNC
const int  resty_ffi_async = 1;
#endif

typedef struct {
    void        *task;
    char         results[4096];
} request_t;

typedef struct {
    void        *tq;
    char        *cfg;
} runtime_t;

static atomic_int  requests, live, gone, unreleased, undelivered;


static void
nap(int ms)
{
    struct timespec  ts = { ms / 1000, ms % 1000 * 1000000L };

    nanosleep(&ts, NULL);
}


static void
start(void *(*run)(void *), void *arg)
{
    pthread_t  t;

    if (pthread_create(&t, NULL, run, arg) != 0) {
        abort();
    }

    pthread_detach(t);
}


/* in place; its length */
static size_t
decode(char *s)
{
    char  *to = s, *from = s, hex[3] = "";

    while (*from) {
        if (*from == '%' && from[1] && from[2]) {
            hex[0] = from[1];
            hex[1] = from[2];
            *to++ = (char) strtol(hex, NULL, 16);
            from += 3;

        } else {
            *to++ = *from++;
        }
    }

    *to = '\0';

    return (size_t) (to - s);
}


static void
released(void *arg, int delivered)
{
    unreleased--;
    undelivered += !delivered;
    free(arg);
}


/* waits where there is no room; takes text over */
static int
send_ref(request_t *r, char *text, size_t len)
{
    int  rc;

    unreleased++;

    while ((rc = resty_ffi_send(r->task, text, len, released, text))
           == EAGAIN)
    {
        if (resty_ffi_wait(r->task, RESTY_FFI_WRITABLE, -1)
            & RESTY_FFI_GONE)
        {
            rc = EPIPE;
            break;
        }
    }

    if (rc != 0) {
        unreleased--;
        free(text);
    }

    gone += rc == EPIPE;

    return rc;
}


static int
send_text(request_t *r, const char *text, size_t len)
{
    char  *copy = malloc(len + 1);

    memcpy(copy, text, len);

    return send_ref(r, copy, len);
}


static int
open_file(const char *path, char mode)
{
    int  ends[2];

    switch (mode) {

    case 'w':
        return open(path, O_WRONLY | O_CLOEXEC);

    case 'p':
        return open(path, O_PATH | O_CLOEXEC);

    case '|':
        if (pipe(ends) != 0) {
            abort();
        }

        close(ends[1]);
        return ends[0];

    default:
        return open(path, O_RDONLY | O_CLOEXEC);
    }
}


/* waits where there is no room */
static int
send_file(request_t *r, char *arg)
{
    int      rc = 0, fd, times;
    char    *path, *word, mode, *state = NULL;
    int64_t  offset, len;

    path = strtok_r(arg, ",", &state);
    decode(path);
    offset = atoll(strtok_r(NULL, ",", &state));
    len = atoll(strtok_r(NULL, ",", &state));
    word = strtok_r(NULL, ",", &state);
    mode = word ? *word : 'r';
    word = word ? strtok_r(NULL, ",", &state) : NULL;
    times = word ? atoi(word) : 1;

    while (rc == 0 && times--) {
        fd = open_file(path, mode);

        while ((rc = resty_ffi_send_file(r->task, fd, offset, len))
               == EAGAIN)
        {
            if (resty_ffi_wait(r->task, RESTY_FFI_WRITABLE, -1)
                & RESTY_FFI_GONE)
            {
                rc = EPIPE;
                break;
            }
        }

        if (rc != 0) {
            close(fd);
        }
    }

    gone += rc == EPIPE;

    return rc;
}


static int
send_fds(request_t *r)
{
    int             n = 0;
    DIR            *dir = opendir("/proc/thread-self/fd");
    char            text[32];
    struct dirent  *e;

    while ((e = readdir(dir)) != NULL) {
        n += *e->d_name != '.';
    }

    closedir(dir);

    return send_text(r, text, (size_t) sprintf(text, "%d", n - 1));
}


static int
fill(request_t *r, size_t bytes, bool endless)
{
    int     rc = 0;
    char    piece[1000];
    size_t  n;

    memset(piece, 'x', sizeof(piece));

    while (rc == 0 && (bytes > 0 || endless)) {
        n = endless || bytes > sizeof(piece) ? sizeof(piece) : bytes;
        rc = send_text(r, piece, n);
        bytes -= endless ? 0 : n;
    }

    return rc;
}


static int
send_head(request_t *r, char *arg, bool trailers)
{
    size_t                     n = 0;
    char                      *word, *colon, *state = NULL;
    int                        status = atoi(arg);
    static _Thread_local resty_ffi_header_t  headers[MAX_HEADERS];

    word = strtok_r(arg, ",", &state);
    word = trailers ? word : strtok_r(NULL, ",", &state);

    for ( /* void */ ; word; word = strtok_r(NULL, ",", &state)) {
        colon = strchr(word, ':');

        if (colon == NULL || n == MAX_HEADERS) {
            abort();
        }

        *colon = '\0';
        headers[n].name = word;
        headers[n].name_len = decode(word);
        headers[n].value = colon + 1;
        headers[n].value_len = decode(colon + 1);
        n++;
    }

    return trailers ? resty_ffi_send_trailers(r->task, headers, n)
                    : resty_ffi_send_head(r->task, status, headers, n);
}


static void
add_text(char **p, const char *name, const resty_ffi_head_t *head,
    resty_ffi_text_t text)
{
    if (RESTY_FFI_TEXT(head, text)[text.len] != '\0') {
        abort();
    }

    *p += sprintf(*p, "%s=%.*s\n", name, (int) text.len,
                  RESTY_FFI_TEXT(head, text));
}


static int
dump(request_t *r)
{
    int                       rc, len;
    char                     *out, *p, name[300];
    uint32_t                  i;
    const resty_ffi_field_t  *f;
    const resty_ffi_head_t   *h = resty_ffi_head(r->task);

    if ((const char *) h != ngx_http_lua_ffi_get_req(r->task, &len)
        || h->version != 2
        || h->size != (uint32_t) len)
    {
        abort();
    }

    p = out = malloc(h->size * 2 + 1000);

    add_text(&p, "method", h, h->method);
    add_text(&p, "path", h, h->path);
    add_text(&p, "raw_path", h, h->raw_path);
    add_text(&p, "query", h, h->query);
    add_text(&p, "protocol", h, h->protocol);
    add_text(&p, "scheme", h, h->scheme);
    add_text(&p, "client", h, h->client);
    add_text(&p, "server", h, h->server);
    p += sprintf(p, "client_port=%u\nserver_port=%u\nhas_parts=%d\n",
                 h->client_port, h->server_port,
                 resty_ffi_has_parts(r->task));

    for (i = 0; i < h->nfields; i++) {
        f = &RESTY_FFI_FIELDS(h)[i];
        snprintf(name, sizeof(name), "- %s",
                 RESTY_FFI_TEXT(h, f->name));
        add_text(&p, name, h, f->value);
    }

    rc = send_text(r, out, (size_t) (p - out));
    free(out);

    return rc;
}


static int
send_flags(request_t *r)
{
    char  text[32];

    return send_text(r, text, (size_t)
                     sprintf(text, "%u", resty_ffi_head(r->task)->flags));
}


static int
read_part(request_t *r, char **part, size_t *len)
{
    int  rc;

    while ((rc = resty_ffi_read(r->task, part, len)) == EAGAIN) {
        if (resty_ffi_wait(r->task, RESTY_FFI_READABLE, -1)
            & RESTY_FFI_GONE)
        {
            rc = EPIPE;
            break;
        }
    }

    gone += rc == EPIPE;

    return rc;
}


static int
read_all(request_t *r, bool echo)
{
    int     rc;
    char   *part, text[32];
    size_t  len, all = 0;

    for ( ;; ) {
        rc = read_part(r, &part, &len);

        if (rc != 0 || part == NULL) {
            break;
        }

        all += len;

        if (!echo) {
            free(part);

        } else if ((rc = send_ref(r, part, len)) != 0) {
            break;
        }
    }

    if (rc == 0 && !echo) {
        rc = send_text(r, text, (size_t) sprintf(text, "%zu", all));
    }

    return rc;
}


static int
send_counts(request_t *r)
{
    char  text[100];

    return send_text(r, text, (size_t)
                     sprintf(text, "%d %d %d %d %d", requests, live - 1, gone,
                             unreleased, undelivered));
}


/* whether the request goes on; *rc: what the command has returned */
static bool
run_command(request_t *r, char *name, char *arg, int *rc)
{
    char   *part;
    size_t  len;

    *rc = 0;

    if (strcmp(name, "head") == 0) {
        *rc = send_head(r, arg, false);

    } else if (strcmp(name, "trailers") == 0) {
        *rc = send_head(r, arg, true);

    } else if (strcmp(name, "part") == 0) {
        len = decode(arg);
        *rc = send_text(r, arg, len);

    } else if (strcmp(name, "ref") == 0) {
        len = (size_t) atol(arg);
        part = malloc(len + 1);
        memset(part, 'y', len);
        *rc = send_ref(r, part, len);

    } else if (strcmp(name, "fill") == 0) {
        *rc = fill(r, (size_t) atol(arg), false);

    } else if (strcmp(name, "endless") == 0) {
        *rc = fill(r, 0, true);

    } else if (strcmp(name, "file") == 0) {
        *rc = send_file(r, arg);

    } else if (strcmp(name, "fds") == 0) {
        *rc = send_fds(r);

    } else if (strcmp(name, "dump") == 0) {
        *rc = dump(r);

    } else if (strcmp(name, "flags") == 0) {
        *rc = send_flags(r);

    } else if (strcmp(name, "echo") == 0) {
        *rc = read_all(r, true);

    } else if (strcmp(name, "body") == 0) {
        *rc = read_all(r, false);

    } else if (strcmp(name, "read") == 0) {
        *rc = read_part(r, &part, &len);
        free(part);

    } else if (strcmp(name, "results") == 0) {
        *rc = send_text(r, r->results, strlen(r->results));

    } else if (strcmp(name, "counts") == 0) {
        *rc = send_counts(r);

    } else if (strcmp(name, "sleep") == 0) {
        nap(atoi(arg));

    } else if (strcmp(name, "gone") == 0) {
        *rc = resty_ffi_wait(r->task, 0, -1);
        gone += *rc == RESTY_FFI_GONE;

    } else if (strcmp(name, "leaving") == 0) {
        *rc = resty_ffi_wait(r->task, RESTY_FFI_LEAVING, -1);
        gone += *rc == RESTY_FFI_GONE;

    } else if (strcmp(name, "never") == 0) {
        return false;

    } else if (strcmp(name, "end") == 0) {
        part = strchr(arg, ',');

        if (part) {
            len = decode(++part);
            unreleased++;
            part = memcpy(malloc(len + 1), part, len);
            resty_ffi_respond_ref(r->task, atoi(arg), part, len, released,
                                  part);

        } else {
            ngx_http_lua_ffi_respond(r->task, atoi(arg), NULL, 0);
        }

        return false;

    } else {
        fprintf(stderr, "web: no such command: %s\n", name);
        abort();
    }

    return true;
}


static char *
commands_of(void *task)
{
    uint32_t                  i;
    const resty_ffi_field_t  *f;
    const resty_ffi_head_t   *h = resty_ffi_head(task);

    for (i = 0; h && i < h->nfields; i++) {
        f = &RESTY_FFI_FIELDS(h)[i];

        if (strcmp(RESTY_FFI_TEXT(h, f->name), "do") == 0) {
            return strdup(RESTY_FFI_TEXT(h, f->value));
        }
    }

    return strdup(h ? "head=200;part=hello" : "end=1,not a web request");
}


static void *
serve(void *task)
{
    int         rc;
    bool        goes_on = true;
    char       *commands, *word, *arg, *state = NULL;
    request_t  *r = calloc(1, sizeof(request_t));

    requests++;
    live++;

    r->task = task;
    commands = commands_of(task);
    word = strtok_r(commands, ";", &state);

    while (word && goes_on) {
        arg = strchr(word, '=');

        if (arg) {
            *arg++ = '\0';
        }

        goes_on = run_command(r, word, arg ? arg : "", &rc);
        sprintf(r->results + strlen(r->results), "%d ", rc);
        word = strtok_r(NULL, ";", &state);
    }

    if (goes_on) {
        ngx_http_lua_ffi_respond(task, 0, NULL, 0);
    }

    free(commands);
    free(r);
    live--;

    return NULL;
}


static const char *
option(runtime_t *rt, const char *name)
{
    char  *at = rt->cfg ? strstr(rt->cfg, name) : NULL;

    return at ? at + strlen(name) : NULL;
}


static void *
poll_queue(void *arg)
{
    void        *task;
    runtime_t   *rt = arg;
    const char  *file;

    if ((file = option(rt, "start=")) || (file = option(rt, "fail="))) {
        while (access(file, F_OK) != 0) {
            nap(5);
        }

        if (option(rt, "fail=")) {
            resty_ffi_started(rt->tq, 1, "not today", 9);

        } else {
            resty_ffi_started(rt->tq, 0, NULL, 0);
        }
    }

    while ((task = ngx_http_lua_ffi_task_poll(rt->tq)) != NULL) {

        if (option(rt, "die")) {
            ngx_http_lua_ffi_respond(task, 7, strdup("I%20die"), 7);
            break;
        }

        if (option(rt, "busy")) {
            serve(task);

        } else {
            start(serve, task);
        }
    }

    free(rt->cfg);
    free(rt);

    return NULL;
}


int
libffi_init(char *cfg, void *tq)
{
    runtime_t  *rt = malloc(sizeof(runtime_t));

    rt->tq = tq;
    rt->cfg = cfg ? strdup(cfg) : NULL;

    if (option(rt, "refuse")) {
        free(rt->cfg);
        free(rt);
        return 3;
    }

    if (option(rt, "upgrades")) {
        resty_ffi_accept_upgrades(tq);
    }

    if (option(rt, "parted")) {
        return resty_ffi_thread(tq, poll_queue, rt, 0);
    }

    start(poll_queue, rt);

    return 0;
}
