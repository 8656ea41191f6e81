/* SPDX-License-Identifier: BSD-2-Clause */

#include <stdio.h>
#include <string.h>

#include "answer.h"


/* eight digits: not older than the last reload, nor newer than the file */
static bool
is_version(const expected_t *e, const char *text)
{
    int       i;
    uint64_t  version;

    version = 0;

    for (i = 0; i < DIGITS; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        version = version * 10 + (uint64_t) (text[i] - '0');
    }

    return version >= e->least && version <= e->most;
}


static bool
is_cut(const expected_t *e, const char *body, size_t n)
{
    return n >= DIGITS && n <= DIGITS + e->size && is_version(e, body)
           && memcmp(body + DIGITS, e->inverted, n - DIGITS) == 0;
}


static bool
is_echo(const expected_t *e, const char *body, size_t n)
{
    return n == DIGITS + e->size && is_cut(e, body, n);
}


static bool
is_raised(const expected_t *e, const char *body, size_t n)
{
    static const char  prefix[] = "1 ValueError: ";

    int     len;
    char    expected[80];
    size_t  i, first = sizeof(prefix) - 1;

    if (n < first + DIGITS || memcmp(body, prefix, first) != 0
        || !is_version(e, body + first))
    {
        return false;
    }

    body += first + DIGITS;
    n -= first + DIGITS;

    len = snprintf(expected, sizeof(expected), " of %zu bytes", e->size);

    for (i = 0; i < 8 && i < e->size; i++) {
        len += snprintf(expected + len, sizeof(expected) - (size_t) len,
                        "%s%02x", i ? "" : " ", e->request[i]);
    }

    return n == (size_t) len && memcmp(body, expected, n) == 0;
}


static bool
is_timeout(int status, const char *body, size_t n)
{
    return status == 504 && n == 7 && memcmp(body, "timeout", 7) == 0;
}


static bool
is_repeated(const expected_t *e, const char *body, size_t n)
{
    size_t  i;

    if (n != TIMES * e->size) {
        return false;
    }

    for (i = 0; i < TIMES; i++) {
        if (memcmp(body + i * e->size, e->inverted, e->size) != 0) {
            return false;
        }
    }

    return true;
}


bool
answer_is_right(const expected_t *e, int status, const char *body, size_t n)
{
    switch (e->answer) {

    case ECHOED:
    case PARTS:
        return status == 200 && is_echo(e, body, n);

    case CUT:
        return status == 200 && is_cut(e, body, n);

    case INVERTED:
        return status == 200 && n == e->size
               && memcmp(body, e->inverted, n) == 0;

    case REPEATED:
        return status == 200 && is_repeated(e, body, n);

    case FAILED:
        return status == 500;

    case RAISED:
        return status == 500 && is_raised(e, body, n);

    case REFUSED:
        return status == 500 && n > 2 && memcmp(body, "7 ", 2) == 0
               && is_echo(e, body + 2, n - 2);

    case TIMED_OUT:
        return is_timeout(status, body, n);

    case STALLED:
        return is_timeout(status, body, n)
               || (status == 200 && n == DIGITS && is_version(e, body));

    /* an answer that is there when nginx looks at its timers is taken */
    case EITHER:
        return is_timeout(status, body, n)
               || (status == 200 && is_echo(e, body, n));
    }

    return false;
}


bool
answer_is_stuck(int status, const char *body, size_t n)
{
    static const char  text[] = "the runtime is stuck";

    return status == 503 && n == sizeof(text) - 1
           && memcmp(body, text, n) == 0;
}


uint64_t
answer_parts(const expected_t *e)
{
    size_t  step;

    if (e->answer != PARTS) {
        return 0;
    }

    if (e->size == 0) {
        return 1;
    }

    step = 16 + 8 * (size_t) e->request[0];

    return 1 + (e->size + step - 1) / step;
}
