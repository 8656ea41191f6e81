/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * usage: client PORT|SOCKET STREAMS
 *
 * Asks for so many event streams and checks each event.  Says "ready" when
 * all have begun, and fails if one does not.  A line on stdin begins the
 * count; another one ends it, and the program with a line of JSON: events,
 * wrong ones (those before the count included), streams that have ended, and
 * µs from when an event was due until it was read.
 *
 * It looks once in a millisecond: who sends is not to pay for waking it up
 * for each event, as it would not for a client on another machine.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "../connect.h"


#define EVENT_SIZE  100
#define PAUSE       1000000     /* ns between two looks */
#define STEP        10          /* µs of a bucket */
#define BUCKETS     1000000


typedef enum { HEAD, LENGTH, DATA, END } state_t;

typedef struct {
    int       fd;
    state_t   state;
    size_t    matched;          /* of the end of the head */
    size_t    left;             /* of a chunk of HTTP's */
    char      event[EVENT_SIZE + 1];
    size_t    filled;
    uint64_t  number;           /* of the next event */
} stream_t;


static const char  ok[] = "HTTP/1.1 200";

static uint32_t  late[BUCKETS];
static uint64_t  events, wrong, ended, began;
static bool      counting;


static void
begin(stream_t *s, int number, int epoll, const char *address)
{
    int                 n;
    char                head[128];
    struct epoll_event  event;

    s->fd = connect_to(address);
    n = snprintf(head, sizeof(head),
                 "GET /%d HTTP/1.1\r\nHost: bench\r\n\r\n", number);

    if (write(s->fd, head, (size_t) n) != n) {
        die("write");
    }

    event.events = EPOLLIN;
    event.data.ptr = s;

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, s->fd, &event)) {
        die("epoll_ctl");
    }
}


static void
take_event(stream_t *s)
{
    int64_t             us;
    uint64_t            number, due, bucket;
    struct timespec     now;

    clock_gettime(CLOCK_MONOTONIC, &now);

    if (sscanf(s->event, "data: %8lu %15lu", &number, &due) != 2
        || number != s->number
        || memcmp(s->event + EVENT_SIZE - 4, "  \n\n", 4) != 0)
    {
        wrong++;
        return;
    }

    if (s->number++ == 0) {
        began++;
    }

    if (!counting) {
        return;
    }

    us = now.tv_sec * 1000000 + now.tv_nsec / 1000 - (int64_t) due;
    bucket = us > 0 ? (uint64_t) us / STEP : 0;
    late[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    events++;
}


static void
take(stream_t *s, const char *p, const char *end)
{
    char    c;
    size_t  n;

    while (p < end) {

        if (s->state == DATA) {
            n = (size_t) (end - p);
            n = n < s->left ? n : s->left;
            n = n < EVENT_SIZE - s->filled ? n : EVENT_SIZE - s->filled;
            memcpy(s->event + s->filled, p, n);
            p += n;
            s->left -= n;
            s->filled += n;

            if (s->filled == EVENT_SIZE) {
                take_event(s);
                s->filled = 0;
            }

            if (s->left == 0) {
                s->state = END;
            }

            continue;
        }

        c = *p++;

        if (s->state == HEAD) {
            if (s->filled < sizeof(ok) - 1) {
                wrong += c != ok[s->filled];
                s->filled++;
            }

            s->matched = c == "\r\n\r\n"[s->matched] ? s->matched + 1
                         : c == '\r' ? 1 : 0;
            if (s->matched == 4) {
                s->state = LENGTH;
                s->filled = 0;
            }

        } else if (c == '\n') {
            s->state = s->state == LENGTH && s->left ? DATA : LENGTH;

        } else if (c != '\r') {
            s->left = s->left * 16
                      + (size_t) (c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
        }
    }
}


static void
read_some(stream_t *s)
{
    char     buf[16384];
    ssize_t  n;

    n = read(s->fd, buf, sizeof(buf));

    if (n > 0) {
        take(s, buf, buf + n);
        return;
    }

    if (n == -1 && errno == EINTR) {
        return;
    }

    ended++;
    close(s->fd);
}


static uint64_t
percentile(uint64_t percent)
{
    size_t    i;
    uint64_t  n = 0;

    for (i = 0; i < BUCKETS - 1; i++) {
        n += late[i];
        if (n * 100 >= events * percent) {
            break;
        }
    }

    return (i + 1) * STEP;
}


int
main(int argc, char **argv)
{
    int                 i, n, count, epoll;
    bool                said;
    char                line[16];
    stream_t           *streams;
    struct timespec     pause = { 0, PAUSE };
    struct epoll_event  ready[256], input;

    if (argc != 3) {
        fprintf(stderr, "usage: client PORT|SOCKET STREAMS\n");
        return 2;
    }

    count = atoi(argv[2]);
    epoll = epoll_create1(0);
    streams = calloc((size_t) count, sizeof(stream_t));
    input.events = EPOLLIN;
    input.data.ptr = NULL;

    if (epoll == -1 || streams == NULL
        || epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input))
    {
        die("cannot start");
    }

    for (i = 0; i < count; i++) {
        begin(&streams[i], i, epoll, argv[1]);
    }

    said = false;

    for ( ;; ) {
        n = epoll_wait(epoll, ready, 256, -1);

        for (i = 0; i < n; i++) {

            if (ready[i].data.ptr) {
                read_some(ready[i].data.ptr);
                continue;
            }

            if (read(STDIN_FILENO, line, sizeof(line)) <= 0 || counting) {
                printf("{\"events\": %lu, \"wrong\": %lu, \"ended\": %lu, "
                       "\"p50\": %lu, \"p99\": %lu}\n", events, wrong, ended,
                       percentile(50), percentile(99));
                free(streams);
                return 0;
            }

            counting = true;
        }

        if (!said && (ended || wrong)) {
            free(streams);
            return 1;
        }

        if (!said && began == (uint64_t) count) {
            said = true;
            puts("ready");
            fflush(stdout);
        }

        if (n < 256) {
            (void) nanosleep(&pause, NULL);
        }
    }
}
