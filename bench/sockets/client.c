/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * usage: client PORT|SOCKET CONNECTIONS SIZE [soak]
 *
 * Opens so many WebSockets.  Each sends a message of SIZE bytes, waits for
 * its echo, checks each byte of it, and sends the next one; SIZE 0: none
 * sends any.  Says "ready" when all are open, and have had an echo, and fails
 * if one cannot be opened.  A line on stdin begins the count; another one
 * ends it, and the program with a line of JSON: messages that have come back;
 * and from the start on wrong ones, sockets that have ended, of these such
 * that were told 1012, and messages that are unanswered; µs from when a message
 * was sent until it was back.
 *
 * soak: messages have 0 to SIZE bytes, every other one is text, and who is
 * told 1012 opens another socket.  At its end it waits for all echoes.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "../connect.h"


#define MAX_SIZE     (1 << 20)
#define OFFSETS      4096       /* where a message may begin; each the 4th */
#define CONTROL_MAX  125
#define HEAD_MAX     1024
#define STEP         10         /* µs of a bucket */
#define BUCKETS      1000000
#define RESTART      1012
#define PATIENCE     10000000   /* µs for the last echoes */
#define AT_ONCE      64         /* handshakes: a backlog is short */


enum { CONTINUATION, TEXT, BINARY, CLOSE = 8, PING, PONG };

typedef enum { HANDSHAKE, HEAD, PAYLOAD, ENDED } state_t;

typedef struct {
    int             fd;
    state_t         state;
    uint32_t        number;     /* of the socket */
    uint32_t        sent;       /* messages */
    bool            waits;      /* for an echo */
    bool            right;      /* what has come of it */
    bool            told;       /* a close frame has come */
    bool            echoed;     /* once */
    unsigned        opcode;
    bool            fin;
    size_t          have;       /* bytes of a head, or a control frame */
    unsigned char   head[HEAD_MAX];
    uint64_t        left;       /* of a frame */
    size_t          done;       /* of a message */
    uint64_t        began;      /* µs, when it was sent */
} peer_t;


static const unsigned char  key[] = { 0x5a, 0xa5, 0x3c, 0xc3 };
static const char           accepted[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
static const char           request[] =
    "GET /echo HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\n"
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

static unsigned char  plain[OFFSETS + MAX_SIZE];
static unsigned char  masked[OFFSETS + MAX_SIZE];

static uint32_t     late[BUCKETS];
static uint64_t     messages, wrong, ended, told, unanswered, opened, echoes;
static uint64_t     waiting;
static bool         counting, ending, soak;
static size_t       size;
static int          epoll;
static const char  *address;


static uint64_t
now(void)
{
    struct timespec  t;

    clock_gettime(CLOCK_MONOTONIC, &t);

    return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}


static uint32_t
mix(const peer_t *p)
{
    uint32_t  x;

    x = (p->number * 2654435761u) ^ (p->sent * 2246822519u);
    x ^= x >> 15;

    return x * 3266489917u;
}


static size_t
offset_of(const peer_t *p)
{
    return mix(p) % OFFSETS & ~(size_t) 3;
}


static size_t
size_of(const peer_t *p)
{
    return soak ? mix(p) / OFFSETS % (size + 1) : size;
}


static unsigned
opcode_of(const peer_t *p)
{
    return soak && p->sent % 2 ? TEXT : BINARY;
}


static void
make_bytes(void)
{
    size_t    i;
    uint32_t  x = 1;

    for (i = 0; i < sizeof(plain); i++) {
        x = x * 1664525 + 1013904223;
        plain[i] = (unsigned char) (' ' + (x >> 24) % 95);
        masked[i] = plain[i] ^ key[i % 4];
    }
}


static void
send_all(peer_t *p, struct iovec *parts, int n)
{
    ssize_t        rc;
    struct msghdr  message;

    memset(&message, 0, sizeof(message));
    message.msg_iov = parts;
    message.msg_iovlen = (size_t) n;

    while (message.msg_iovlen) {
        rc = sendmsg(p->fd, &message, MSG_NOSIGNAL);

        if (rc == -1) {
            return;             /* the end comes to be read */
        }

        while (message.msg_iovlen
               && (size_t) rc >= message.msg_iov->iov_len)
        {
            rc -= (ssize_t) message.msg_iov->iov_len;
            message.msg_iov++;
            message.msg_iovlen--;
        }

        if (message.msg_iovlen) {
            message.msg_iov->iov_base =
                (char *) message.msg_iov->iov_base + rc;
            message.msg_iov->iov_len -= (size_t) rc;
        }
    }
}


static void
send_frame(peer_t *p, unsigned opcode, const unsigned char *payload,
    size_t len)
{
    int            i;
    size_t         n;
    struct iovec   parts[2];
    unsigned char  head[14];

    head[0] = (unsigned char) (0x80 | opcode);
    n = 2;

    if (len < 126) {
        head[1] = (unsigned char) (0x80 | len);

    } else if (len < 65536) {
        head[1] = 0x80 | 126;
        head[n++] = (unsigned char) (len >> 8);
        head[n++] = (unsigned char) len;

    } else {
        head[1] = 0x80 | 127;

        for (i = 56; i >= 0; i -= 8) {
            head[n++] = (unsigned char) ((uint64_t) len >> i);
        }
    }

    memcpy(head + n, key, sizeof(key));

    parts[0].iov_base = head;
    parts[0].iov_len = n + sizeof(key);
    parts[1].iov_base = (void *) (uintptr_t) payload;
    parts[1].iov_len = len;

    send_all(p, parts, len ? 2 : 1);
}


static void
send_control(peer_t *p, unsigned opcode)
{
    size_t         i;
    unsigned char  payload[CONTROL_MAX] = { 0 };

    for (i = 0; i < p->have; i++) {
        payload[i] = p->head[i] ^ key[i % 4];
    }

    send_frame(p, opcode, payload, p->have);
}


static void
send_next(peer_t *p)
{
    p->sent++;
    waiting++;
    p->waits = true;
    p->right = true;
    p->done = 0;
    p->began = now();

    send_frame(p, opcode_of(p), masked + offset_of(p), size_of(p));
}


static void
begin(peer_t *p)
{
    struct iovec        part;
    struct epoll_event  event;

    p->fd = connect_to(address);
    p->state = HANDSHAKE;
    p->have = 0;
    p->told = false;
    p->waits = false;

    part.iov_base = (void *) (uintptr_t) request;
    part.iov_len = sizeof(request) - 1;
    send_all(p, &part, 1);

    event.events = EPOLLIN;
    event.data.ptr = p;

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, p->fd, &event)) {
        die("epoll_ctl");
    }
}


static void
end(peer_t *p)
{
    close(p->fd);
    p->state = ENDED;
    ended++;

    if (p->waits) {
        unanswered++;
        waiting--;
    }

    if (soak && p->told && !ending) {
        begin(p);
    }
}


static void
take_echo(peer_t *p)
{
    uint64_t  us, bucket;

    if (!p->waits) {
        wrong++;
        return;
    }

    if (!p->right || p->done != size_of(p)) {
        wrong++;
    }

    waiting--;

    if (!p->echoed) {
        p->echoed = true;
        echoes++;
    }

    if (counting) {
        us = now() - p->began;
        bucket = us / STEP;
        late[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
        messages++;
    }

    p->waits = false;

    if (!ending) {
        send_next(p);
    }
}


static void
take_control(peer_t *p)
{
    unsigned  code;

    if (p->opcode == PING) {
        send_control(p, PONG);
        return;
    }

    if (p->opcode != CLOSE) {
        return;
    }

    code = p->have < 2 ? 0 : (unsigned) p->head[0] << 8 | p->head[1];

    if (code == RESTART) {
        p->told = true;
        told++;
    }

    send_control(p, CLOSE);
}


/* all of a frame has come */
static void
take_frame(peer_t *p)
{
    if (p->opcode >= CLOSE) {
        take_control(p);

    } else if (p->fin) {
        take_echo(p);
    }

    p->state = HEAD;
    p->have = 0;
}


/* what there is of a frame's head; whether that is all of it */
static bool
take_head(peer_t *p)
{
    size_t    i, n;
    unsigned  len;

    if (p->have < 2) {
        return false;
    }

    len = p->head[1];
    n = len == 126 ? 4 : len == 127 ? 10 : 2;

    if (p->have < n) {
        return false;
    }

    p->left = n == 2 ? len : 0;

    for (i = 2; i < n; i++) {
        p->left = p->left << 8 | p->head[i];
    }

    p->opcode = p->head[0] & 15;
    p->fin = p->head[0] & 0x80;
    p->state = PAYLOAD;
    p->have = 0;

    /* no other opcode, no reserved bits, no mask */
    if ((p->opcode >= CLOSE && (p->left > CONTROL_MAX || !p->fin))
        || (p->opcode < CLOSE && p->opcode != CONTINUATION
            && p->opcode != opcode_of(p))
        || p->head[0] & 0x70 || len & 0x80)
    {
        wrong++;
        p->right = false;
    }

    return true;
}


static void
take_payload(peer_t *p, const unsigned char *data, size_t n)
{
    p->left -= n;

    if (p->opcode >= CLOSE) {
        n = n < sizeof(p->head) - p->have ? n : sizeof(p->head) - p->have;
        memcpy(p->head + p->have, data, n);
        p->have += n;
        return;
    }

    if (p->done + n > size_of(p)
        || memcmp(plain + offset_of(p) + p->done, data, n) != 0)
    {
        p->right = false;
    }

    p->done += n;
}


static void
take_handshake(peer_t *p)
{
    p->head[p->have] = '\0';

    if (p->have < 4 || memcmp(p->head + p->have - 4, "\r\n\r\n", 4) != 0) {
        if (p->have == sizeof(p->head) - 1) {
            fprintf(stderr, "no handshake: %s\n", (char *) p->head);
            exit(1);
        }

        return;
    }

    if (memcmp(p->head, "HTTP/1.1 101", 12) != 0
        || strstr((char *) p->head, accepted) == NULL)
    {
        fprintf(stderr, "no WebSocket: %s\n", (char *) p->head);
        exit(1);
    }

    opened++;
    p->state = HEAD;
    p->have = 0;

    if (size && !ending) {
        send_next(p);
    }
}


static void
take(peer_t *p, const unsigned char *data, size_t len)
{
    size_t                n;
    const unsigned char  *last = data + len;

    while (data < last && p->state != ENDED) {

        if (p->state == PAYLOAD) {
            n = (size_t) (last - data);
            n = n < p->left ? n : (size_t) p->left;
            take_payload(p, data, n);
            data += n;

        } else {
            p->head[p->have++] = *data++;

            if (p->state == HANDSHAKE) {
                take_handshake(p);
                continue;
            }

            if (!take_head(p)) {
                continue;
            }
        }

        if (p->left == 0) {
            take_frame(p);
        }
    }
}


static void
read_some(peer_t *p)
{
    ssize_t               n;
    static unsigned char  buf[65536];

    n = read(p->fd, buf, sizeof(buf));

    if (n > 0) {
        take(p, buf, (size_t) n);

    } else if (n == 0 || errno != EINTR) {
        end(p);
    }
}


static uint64_t
percentile(uint64_t percent)
{
    size_t    i;
    uint64_t  n = 0;

    for (i = 0; i < BUCKETS - 1; i++) {
        n += late[i];
        if (n * 100 >= messages * percent) {
            break;
        }
    }

    return (i + 1) * STEP;
}


static void
report(void)
{
    printf("{\"messages\": %lu, \"wrong\": %lu, \"ended\": %lu, "
           "\"told\": %lu, \"unanswered\": %lu, \"p50\": %lu, "
           "\"p99\": %lu}\n", messages, wrong, ended, told, unanswered,
           percentile(50), percentile(99));
}


static void
raise_limit(void)
{
    struct rlimit  limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &limit);
    }
}


int
main(int argc, char **argv)
{
    int                 i, n;
    bool                said;
    char                line[16];
    peer_t             *peers;
    uint32_t            k, count;
    uint64_t            last;
    struct epoll_event  ready[256], input;

    if (argc < 4) {
        fprintf(stderr, "usage: client PORT|SOCKET CONNECTIONS SIZE [soak]\n");
        return 2;
    }

    address = argv[1];
    count = (uint32_t) atoi(argv[2]);
    size = (size_t) atoi(argv[3]);
    soak = argc > 4;

    raise_limit();
    make_bytes();

    epoll = epoll_create1(0);
    peers = calloc(count, sizeof(peer_t));
    input.events = EPOLLIN;
    input.data.ptr = NULL;

    if (epoll == -1 || peers == NULL || size > MAX_SIZE
        || epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input))
    {
        die("cannot start");
    }

    k = 0;
    said = false;
    last = 0;

    while (!ending || (waiting && now() < last)) {

        for ( /* void */ ; k < count && k < opened + AT_ONCE; k++) {
            peers[k].number = k;
            begin(&peers[k]);
        }

        n = epoll_wait(epoll, ready, 256, ending ? 100 : -1);

        for (i = 0; i < n; i++) {

            if (ready[i].data.ptr) {
                read_some(ready[i].data.ptr);
                continue;
            }

            if (read(STDIN_FILENO, line, sizeof(line)) > 0 && !counting) {
                counting = true;
                continue;
            }

            ending = true;
            last = now() + (soak ? PATIENCE : 0);
            (void) epoll_ctl(epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
        }

        if (!said && (ended || wrong)) {
            fprintf(stderr, "%lu ended, %lu wrong\n", ended, wrong);
            free(peers);
            return 1;
        }

        if (!said && opened == count && (size == 0 || echoes == count)) {
            said = true;
            puts("ready");
            fflush(stdout);
        }
    }

    unanswered += waiting;
    report();
    free(peers);

    return 0;
}
