/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * usage: client SOCKET BOARD CONNECTIONS SEED lua|web
 *
 * Sends requests on so many connections at a time until the board says stop,
 * checks every byte of every answer, and writes what it has seen to the
 * board; answers that are wrong or missing go to stderr, the first of them.
 * Ends with status 0 when every request has got its answer or has been given
 * up; what the answers were like says the board.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "answer.h"
#include "board.h"


#define MAX_SIZE   (1024 * 1024)
#define HEAD_SIZE  4096
#define PATIENCE   60             /* seconds without an answer: lost */
#define SLOW_MS    100            /* between two pieces of a slow client */
#define SLOW_SIZE  16384          /* bytes of each, both ways */
#define MAX_LINES  50


/* when the client walks away */
typedef enum { STAYS, WHILE_SENDING, WHEN_SENT, WHILE_READING } leave_t;

typedef struct {
    const char  *name;
    int          weight;
    answer_t     answer;
    bool         may_leave;
} kind_t;

typedef struct {
    int            fd;
    bool           used;          /* it has carried an answer before */
    const kind_t  *kind;
    leave_t        leave;
    bool           slow;
    uint64_t       least;
    time_t         since;

    size_t         size;          /* of the body */
    size_t         start;         /* where it begins in what is sent */
    char           head[256];
    size_t         head_len;
    size_t         sent;
    size_t         to_send;

    char          *in;
    size_t         received;
} conn_t;


static const kind_t  lua_kinds[] = {
    { "sync", 40, ECHOED, true },
    { "async", 30, ECHOED, true },
    { "late", 6, ECHOED, true },
    { "hedged", 6, ECHOED, true },
    { "raise", 8, RAISED, false },
    { "refuse", 8, REFUSED, false },
    { "slow", 4, TIMED_OUT, true },
    { "block", 2, EITHER, true },

    { "plain_parts", 12, PARTS, true },
    { "async_parts", 12, PARTS, true },
    { "joined", 4, PARTS, true },
    { "read", 8, PARTS, true },
    { "cut", 4, CUT, true },
    { "stall", 2, STALLED, true },
    { "upload", 8, ECHOED, true },
    { "upload_threads", 4, ECHOED, true },
    { "write", 6, ECHOED, true },
    { "c", 10, INVERTED, true },
    { NULL, 0, ECHOED, false }
};

static const kind_t  web_kinds[] = {
    { "asgi", 40, INVERTED, true },
    { "asgi_whole", 40, INVERTED, true },
    { "asgi_late", 8, INVERTED, true },
    { "asgi_down", 8, REPEATED, true },
    { "asgi_fail", 1, FAILED, true },
    { "wsgi", 50, INVERTED, true },
    { "wsgi_parts", 20, INVERTED, true },
    { "wsgi_down", 8, REPEATED, true },
    { "wsgi_write", 10, INVERTED, true },
    { "wsgi_fail", 1, FAILED, true },
    { NULL, 0, ECHOED, false }
};


static struct sockaddr_un  address;
static board_t            *board;
static const kind_t       *kinds;
static int                 epoll;
static int                 open_requests;
static uint64_t            state;
static unsigned char       plain[2 * MAX_SIZE];
static unsigned char       inverted[2 * MAX_SIZE];


static void begin(conn_t *c);
static void closed(conn_t *c);


static uint64_t
pick(uint64_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;

    return (state * 0x2545f4914f6cdd1d >> 11) % n;
}


static int64_t
now_ms(void)
{
    struct timespec  t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}


static time_t
now(void)
{
    return (time_t) (now_ms() / 1000);
}


static void
complain(conn_t *c, const char *what)
{
    static int  lines;

    char    text[321];
    size_t  i, n;

    if (lines++ >= MAX_LINES) {
        return;
    }

    n = c->received < sizeof(text) - 1 ? c->received : sizeof(text) - 1;

    for (i = 0; i < n; i++) {
        text[i] = c->in[i] >= ' ' && c->in[i] < 127 ? c->in[i] : '.';
    }

    text[n] = '\0';

    fprintf(stderr, "%s: /%s of %zu bytes, %zu of %zu sent, %s connection, "
            "%zu bytes received: %s\n", what, c->kind->name, c->size, c->sent,
            c->to_send, c->used ? "old" : "new", c->received, text);
}


static void
disconnect(conn_t *c)
{
    close(c->fd);
    c->fd = -1;
    c->used = false;
}


static void
connect_again(conn_t *c)
{
    struct epoll_event  event;

    c->fd = socket(AF_UNIX, SOCK_STREAM, 0);

    if (c->fd == -1
        || connect(c->fd, (struct sockaddr *) &address, sizeof(address))
        || fcntl(c->fd, F_SETFL, O_NONBLOCK))
    {
        perror("cannot connect");
        exit(1);
    }

    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.ptr = c;

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event)) {
        perror("epoll_ctl");
        exit(1);
    }
}


/* few large ones, many small ones, and both ends of the range */
static size_t
pick_size(void)
{
    uint64_t  n = pick(1000);

    if (n < 50) {
        return 0;
    }

    if (n < 51) {
        return MAX_SIZE;
    }

    if (n < 54) {
        return pick(MAX_SIZE + 1);
    }

    return pick((uint64_t) 1 << (1 + pick(15)));
}


static const kind_t *
pick_kind(void)
{
    int            n;
    const kind_t  *kind;

    n = 0;
    for (kind = kinds; kind->name; kind++) {
        n += kind->weight;
    }

    n = (int) pick((uint64_t) n);
    for (kind = kinds; n >= kind->weight; kind++) {
        n -= kind->weight;
    }

    return kind;
}


static void
end_request(conn_t *c)
{
    open_requests--;
    c->kind = NULL;
}


static void
walk_away(conn_t *c)
{
    board->left++;
    disconnect(c);
    end_request(c);
    begin(c);
}


static void
lose(conn_t *c, const char *why)
{
    board->lost++;
    complain(c, why);
    disconnect(c);
    end_request(c);
    begin(c);
}


/* false: the connection is of no more use */
static bool
send_more(conn_t *c)
{
    size_t   end, left;
    ssize_t  n;

    end = c->slow && c->to_send - c->sent > SLOW_SIZE ? c->sent + SLOW_SIZE
                                                      : c->to_send;

    while (c->sent < end) {
        left = end - c->sent;

        if (c->sent < c->head_len) {
            n = send(c->fd, c->head + c->sent,
                     end < c->head_len ? left : c->head_len - c->sent,
                     MSG_NOSIGNAL);

        } else {
            n = send(c->fd, plain + c->start + c->sent - c->head_len, left,
                     MSG_NOSIGNAL);
        }

        if (n == -1) {
            return errno == EAGAIN;
        }

        c->sent += (size_t) n;
    }

    return true;
}


static void
start_sending(conn_t *c)
{
    c->sent = 0;
    c->received = 0;

    if (c->fd == -1) {
        connect_again(c);
    }

    if (!send_more(c)) {
        closed(c);
        return;
    }

    if (c->sent == c->to_send
        && (c->leave == WHILE_SENDING || c->leave == WHEN_SENT))
    {
        walk_away(c);
    }
}


static void
begin(conn_t *c)
{
    if (board->stop) {
        if (c->fd != -1) {
            disconnect(c);
        }
        return;
    }

    c->kind = pick_kind();
    c->size = pick_size();
    c->start = pick(MAX_SIZE);
    c->slow = kinds == web_kinds && pick(200) == 0;

    if (c->kind->answer == REPEATED) {
        c->size %= MAX_SIZE / TIMES + 1;
    }

    c->leave = c->kind->may_leave && pick(10) == 0
               ? (leave_t) (1 + pick(3)) : STAYS;
    c->least = board->least;
    c->since = now();

    c->head_len = (size_t) snprintf(c->head, sizeof(c->head),
                                    "POST /%s HTTP/1.1\r\nHost: soak\r\n"
                                    "Content-Length: %zu\r\n\r\n",
                                    c->kind->name, c->size);
    c->to_send = c->head_len + c->size;

    if (c->leave == WHILE_SENDING) {
        c->to_send = pick(c->to_send);
    }

    open_requests++;
    start_sending(c);
}


/* false: there is more to come */
static bool
take_answer(conn_t *c)
{
    int         status;
    bool        last;
    char       *body, *field;
    size_t      length;
    expected_t  expected;

    c->in[c->received] = '\0';

    body = strstr(c->in, "\r\n\r\n");
    if (body == NULL) {
        return false;
    }

    *body = '\0';
    body += 4;
    field = strcasestr(c->in, "\r\nContent-Length: ");
    last = strcasestr(c->in, "\r\nConnection: close") != NULL;
    status = atoi(c->in + sizeof("HTTP/1.1"));
    length = field ? strtoul(field + sizeof("\r\nContent-Length:"), NULL, 10)
                   : 0;

    if (field && (size_t) (c->in + c->received - body) < length) {
        body[-4] = '\r';
        return false;
    }

    expected.answer = c->kind->answer;
    expected.least = c->least;
    expected.most = board->most;
    expected.request = plain + c->start;
    expected.inverted = inverted + c->start;
    expected.size = c->size;

    if (field && c->sent == c->to_send
        && c->in + c->received == body + length
        && answer_is_right(&expected, status, body, length))
    {
        board->answered++;
        board->bytes += length;
        board->parts += answer_parts(&expected);

    } else if (answer_is_stuck(status, body, length)) {
        board->stuck++;

    } else {
        board->wrong++;
        complain(c, "wrong");
        last = true;
    }

    c->used = true;

    if (last) {
        disconnect(c);
    }

    end_request(c);
    begin(c);

    return true;
}


static void
closed(conn_t *c)
{
    if (c->leave != STAYS) {
        walk_away(c);
        return;
    }

    /* nginx may close an idle connection; that is HTTP's own race */

    if (c->received == 0 && c->used) {
        board->retried++;
        disconnect(c);
        start_sending(c);
        return;
    }

    lose(c, "lost");
}


static void
handle(conn_t *c)
{
    size_t   room;
    ssize_t  n;

    if (c->sent < c->to_send) {
        (void) send_more(c);

        if (c->sent == c->to_send
            && (c->leave == WHILE_SENDING || c->leave == WHEN_SENT))
        {
            walk_away(c);
            return;
        }
    }

    for ( ;; ) {
        room = HEAD_SIZE + MAX_SIZE - 1 - c->received;

        n = recv(c->fd, c->in + c->received,
                 c->slow && room > SLOW_SIZE ? SLOW_SIZE : room, 0);

        if (n == -1 && errno == EAGAIN) {
            return;
        }

        if (n <= 0) {
            closed(c);
            return;
        }

        c->received += (size_t) n;

        if (c->leave == WHILE_READING) {
            walk_away(c);
            return;
        }

        if (take_answer(c) || c->slow) {
            return;
        }
    }
}


/* no event comes for what they have left */
static void
go_on_slowly(conn_t *conns, int count)
{
    int  i;

    for (i = 0; i < count; i++) {
        if (conns[i].kind && conns[i].slow) {
            handle(&conns[i]);
        }
    }
}


static void
make_contents(void)
{
    size_t  i;

    for (i = 0; i < sizeof(plain); i++) {
        plain[i] = (unsigned char) pick(256);
        inverted[i] = plain[i] ^ 0xff;
    }
}


static void
map_board(const char *path)
{
    int  fd;

    fd = open(path, O_RDWR);
    if (fd == -1) {
        perror(path);
        exit(1);
    }

    board = mmap(NULL, sizeof(board_t), PROT_READ | PROT_WRITE, MAP_SHARED,
                 fd, 0);
    if (board == MAP_FAILED) {
        perror(path);
        exit(1);
    }
}


int
main(int argc, char **argv)
{
    int                 i, n, count;
    conn_t             *conns;
    time_t              checked;
    int64_t             went_on;
    struct epoll_event  events[256];

    if (argc != 6) {
        fprintf(stderr,
                "usage: client SOCKET BOARD CONNECTIONS SEED lua|web\n");
        return 2;
    }

    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", argv[1]);
    map_board(argv[2]);
    count = atoi(argv[3]);
    state = strtoull(argv[4], NULL, 10) | 1;
    kinds = strcmp(argv[5], "web") == 0 ? web_kinds : lua_kinds;
    make_contents();

    epoll = epoll_create1(0);
    conns = calloc((size_t) count, sizeof(conn_t));
    if (epoll == -1 || conns == NULL) {
        perror("cannot start");
        return 1;
    }

    for (i = 0; i < count; i++) {
        conns[i].fd = -1;
        conns[i].in = malloc(HEAD_SIZE + MAX_SIZE);
        if (conns[i].in == NULL) {
            perror("cannot start");
            return 1;
        }
        begin(&conns[i]);
    }

    checked = now();
    went_on = now_ms();

    while (open_requests) {
        n = epoll_wait(epoll, events, 256, SLOW_MS);

        for (i = 0; i < n; i++) {
            conn_t  *c = events[i].data.ptr;

            if (c->kind) {
                handle(c);
            }
        }

        if (now_ms() - went_on >= SLOW_MS) {
            went_on = now_ms();
            go_on_slowly(conns, count);
        }

        if (now() == checked) {
            continue;
        }

        checked = now();

        for (i = 0; i < count; i++) {
            if (conns[i].kind && checked - conns[i].since > PATIENCE) {
                lose(&conns[i], "no answer");
            }
        }
    }

    return 0;
}
