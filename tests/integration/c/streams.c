/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A runtime whose answers and requests come in parts.  Each call has a thread
 * of its own, which blocks where it has to.  A request is words of
 * "name=number", 0 where one is missing; the methods:
 *
 *   send      parts=, of size= bytes, sleep= ms before each; part i is filled
 *             with the letter i % 26; copy=1: by resty_ffi_send_copy; then
 *             the answer, with status rc=, and last= bytes of '.'
 *   endless   send without an end, until the caller is gone
 *   two       send from two threads at once, each its half
 *   echo      sends what it reads, first what get_req has; rc=, as send
 *   count     reads all, sleep= ms before each; answers "BYTES PARTS"
 *   sum       the same; answers "BYTES ADLER32"
 *   ignore    answers with "ignored" and reads nothing
 *   wait      sends parts= of size= bytes, and then waits to be gone
 *   late      after 50 ms answers, and then sends and reads in vain
 *   plain     answers with the request
 *   lent      answers with size= bytes, by resty_ffi_respond_ref
 *   mapped    sends size= bytes of zeros as one part that takes no memory
 *
 * Streams counts what it has sent and what was given back.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "resty_ffi.h"
#include "streams.h"

#define STACK  262144

typedef struct {
    void  *task;
    long   parts;
    long   first;
    long   step;
} half_t;

static atomic_int   running, taken, gone, refused, faults;
static atomic_long  sent, released, undelivered, unreleased, most;


int streams_running(void) { return running; }
int streams_taken(void) { return taken; }
int streams_gone(void) { return gone; }
int streams_refused(void) { return refused; }
int streams_faults(void) { return faults; }
long streams_sent(void) { return sent; }
long streams_released(void) { return released; }
long streams_undelivered(void) { return undelivered; }
long streams_most(void) { return most; }


static void
nap(long ms)
{
    struct timespec  ts = { ms / 1000, ms % 1000 * 1000000L };

    nanosleep(&ts, NULL);
}


static void
start(void *(*run)(void *), void *arg)
{
    pthread_t       t;
    pthread_attr_t  attr;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK);

    if (pthread_create(&t, &attr, run, arg) != 0) {
        abort();
    }

    pthread_attr_destroy(&attr);
    pthread_detach(t);
}


static void
finish(void *task, int rc, const char *text, int len)
{
    char  *rsp = malloc((size_t) len + 1);

    memcpy(rsp, text, (size_t) len);
    rsp[len] = '\0';
    ngx_http_lua_ffi_respond(task, rc, len ? rsp : NULL, len);

    if (len == 0) {
        free(rsp);
    }
}


static long
number(const char *req, const char *name)
{
    const char  *at = req ? strstr(req, name) : NULL;

    return at ? atol(at + strlen(name)) : 0;
}


/* the size of a part stands before it */
static void
given_back(void *arg, int delivered)
{
    size_t  *block = arg;

    unreleased -= (long) *block;
    released++;

    if (!delivered) {
        undelivered++;
    }

    free(block);
}


/*
 * 0, EPIPE where nobody waits any more, or ENOMEM, of which the caller is told
 * then; takes a block over
 */
static int
send_block(void *task, size_t *block)
{
    for ( ;; ) {
        size_t  len = *block;

        sent++;

        long  now = unreleased += (long) len;
        int   rc = resty_ffi_send(task, block + 1, len, given_back, block);

        if (rc == 0) {
            long  before = most;

            while (now > before
                   && !atomic_compare_exchange_weak(&most, &before, now))
            {
                /* another thread has changed it */
            }

            return 0;
        }

        sent--;
        unreleased -= (long) len;

        if (rc == EAGAIN) {
            refused++;

            int  events = resty_ffi_wait(task, RESTY_FFI_WRITABLE, 20000);

            if (events == 0) {
                faults++;
                rc = EPIPE;

            } else {
                continue;
            }
        }

        free(block);

        return rc;
    }
}


static size_t *
new_block(const char *bytes, size_t len)
{
    size_t  *block = malloc(sizeof(size_t) + len + 1);

    *block = len;

    if (bytes) {
        memcpy(block + 1, bytes, len);
    }

    return block;
}


static int
send_copy(void *task, const char *bytes, size_t len)
{
    int  rc;

    while ((rc = resty_ffi_send_copy(task, bytes, len)) == EAGAIN) {
        refused++;
        (void) resty_ffi_wait(task, RESTY_FFI_WRITABLE, -1);
    }

    return rc;
}


static int
send_letter(void *task, long i, size_t size, bool copy)
{
    int      rc;
    size_t  *block = new_block(NULL, size);

    memset(block + 1, 'a' + (int) (i % 26), size);

    if (copy) {
        rc = send_copy(task, (char *) (block + 1), size);
        free(block);
        return rc;
    }

    return send_block(task, block);
}


static void
end(void *task, const char *req)
{
    int    last = (int) number(req, "last=");
    char  *text = malloc((size_t) last + 1);

    memset(text, '.', (size_t) last);
    finish(task, (int) number(req, "rc="), text, last);
    free(text);
}


/* a send has failed */
static void
give_up(void *task, int rc)
{
    if (rc == EPIPE) {
        gone++;
    }

    finish(task, rc, "no memory", 9);
}


/* whether the answer is still to come */
static bool
send_parts(void *task, const char *req, bool endless)
{
    long    parts = number(req, "parts="), sleep = number(req, "sleep=");
    int     rc;
    bool    copy = number(req, "copy=");
    size_t  size = (size_t) number(req, "size=");

    for (long i = 0; i < parts || endless; i++) {
        if (sleep) {
            nap(sleep);
        }

        rc = send_letter(task, i, size, copy);

        if (rc != 0) {
            give_up(task, rc);
            return false;
        }
    }

    return true;
}


static void *
send_half(void *arg)
{
    half_t  *half = arg;

    for (long i = half->first; i < half->parts; i += half->step) {
        if (send_letter(half->task, i, 1, false) != 0) {
            break;
        }
    }

    return NULL;
}


static void
send_halves(void *task, const char *req)
{
    long       parts = number(req, "parts=");
    half_t     halves[] = { { task, parts, 0, 2 }, { task, parts, 1, 2 } };
    pthread_t  other;

    if (pthread_create(&other, NULL, send_half, &halves[1]) != 0) {
        abort();
    }

    send_half(&halves[0]);
    pthread_join(other, NULL);
    end(task, req);
}


/* the next part, or *part NULL at the end; EPIPE where the caller is gone */
static int
read_part(void *task, char **part, size_t *len)
{
    int  rc;

    while ((rc = resty_ffi_read(task, part, len)) == EAGAIN) {
        if (resty_ffi_wait(task, RESTY_FFI_READABLE, 20000) == 0) {
            faults++;
            rc = EPIPE;
            break;
        }
    }

    if (rc == 0 && *part && (*part)[*len] != '\0') {
        faults++;
    }

    return rc;
}


static void
echo(void *task, const char *req, int req_len)
{
    int     rc = 0;
    char   *part;
    size_t  len;

    if (req_len) {
        rc = send_block(task, new_block(req, (size_t) req_len));
    }

    while (rc == 0) {
        rc = read_part(task, &part, &len);

        if (rc == 0 && part == NULL) {
            end(task, req);
            return;
        }

        if (rc == 0) {
            rc = send_block(task, new_block(part, len));
            free(part);
        }
    }

    give_up(task, rc);
}


static unsigned
adler32(unsigned sum, const char *bytes, size_t len)
{
    unsigned  a = sum & 0xffff, b = sum >> 16;

    for (size_t i = 0; i < len; i++) {
        a += (unsigned char) bytes[i];
        b += a;

        if (i % 4096 == 4095) {
            a %= 65521;
            b %= 65521;
        }
    }

    return b % 65521 << 16 | a % 65521;
}


static void
count(void *task, const char *req, bool summed)
{
    int       rc;
    long      bytes = 0, parts = 0, sleep = number(req, "sleep=");
    char     *part, text[64];
    size_t    len;
    unsigned  sum = 1;

    for ( ;; ) {
        if (sleep) {
            nap(sleep);
        }

        rc = read_part(task, &part, &len);

        if (rc != 0 || part == NULL) {
            break;
        }

        bytes += (long) len;
        parts++;

        if (summed) {
            sum = adler32(sum, part, len);
        }

        free(part);
    }

    if (rc != 0) {
        gone++;
    }

    finish(task, 0, text,
           snprintf(text, sizeof(text), "%ld %ld", bytes,
                    summed ? (long) sum : parts));
}


static void
late(void *task)
{
    char   *part;
    size_t  len;

    nap(50);
    finish(task, 0, "early", 5);

    if (resty_ffi_send_copy(task, "x", 1) != EPIPE
        || resty_ffi_read(task, &part, &len) != EPIPE
        || resty_ffi_wait(task, RESTY_FFI_WRITABLE, 0) != RESTY_FFI_GONE)
    {
        faults++;
    }
}


static void
lend(void *task, const char *req)
{
    size_t   size = (size_t) number(req, "size=");
    size_t  *block = new_block(NULL, size);

    memset(block + 1, 'a', size);
    sent++;
    unreleased += (long) size;
    resty_ffi_respond_ref(task, 0, block + 1, size, given_back, block);
}


static void
unmap(void *arg, int delivered)
{
    size_t  *mapping = arg;

    munmap((void *) mapping[0], mapping[1]);
    free(mapping);
    released++;
    undelivered += !delivered;
}


static void
send_mapped(void *task, const char *req)
{
    size_t   size = (size_t) number(req, "size=");
    size_t  *mapping = malloc(2 * sizeof(size_t));
    void    *bytes = mmap(NULL, size ? size : 1, PROT_READ,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (bytes == MAP_FAILED) {
        abort();
    }

    mapping[0] = (size_t) bytes;
    mapping[1] = size;
    sent++;

    if (resty_ffi_send(task, bytes, size, unmap, mapping) != 0) {
        faults++;
        unmap(mapping, 0);
    }

    end(task, req);
}


static void *
serve(void *task)
{
    int          len;
    char        *req = ngx_http_lua_ffi_get_req(task, &len);
    const char  *method = resty_ffi_method(task, NULL);

    if (strcmp(method, "send") == 0) {
        if (send_parts(task, req, false)) {
            end(task, req);
        }

    } else if (strcmp(method, "endless") == 0) {
        (void) send_parts(task, req, true);

    } else if (strcmp(method, "two") == 0) {
        send_halves(task, req);

    } else if (strcmp(method, "echo") == 0) {
        echo(task, req, len);

    } else if (strcmp(method, "count") == 0) {
        count(task, req, false);

    } else if (strcmp(method, "sum") == 0) {
        count(task, req, true);

    } else if (strcmp(method, "ignore") == 0) {
        finish(task, (int) number(req, "rc="), "ignored", 7);

    } else if (strcmp(method, "wait") == 0) {
        if (send_parts(task, req, false)) {
            gone += resty_ffi_wait(task, 0, -1) == RESTY_FFI_GONE;
            end(task, NULL);
        }

    } else if (strcmp(method, "late") == 0) {
        late(task);

    } else if (strcmp(method, "lent") == 0) {
        lend(task, req);

    } else if (strcmp(method, "mapped") == 0) {
        send_mapped(task, req);

    } else {
        finish(task, 0, req ? req : "", len);
    }

    running--;

    return NULL;
}


static void *
poll_queue(void *tq)
{
    void  *task;

    while ((task = ngx_http_lua_ffi_task_poll(tq)) != NULL) {
        running++;
        taken++;
        start(serve, task);
    }

    return NULL;
}


int
libffi_init(char *cfg, void *tq)
{
    (void) cfg;

    start(poll_queue, tq);

    return 0;
}
