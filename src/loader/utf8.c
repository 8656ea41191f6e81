/* SPDX-License-Identifier: BSD-2-Clause */

#include "utf8.h"

#include <stdint.h>
#include <string.h>


#define HIGH_BITS  UINT64_C(0x8080808080808080)


/* behind the ASCII at p; words at a time, while there are whole ones */
static const unsigned char *
skip_ascii(const unsigned char *p, const unsigned char *end)
{
    uint64_t  a, b;

    while (end - p >= 16) {
        memcpy(&a, p, 8);
        memcpy(&b, p + 8, 8);

        if ((a | b) & HIGH_BITS) {
            break;
        }

        p += 16;
    }

    while (p < end && *p < 0x80) {
        p++;
    }

    return p;
}


/* of a character of several bytes */
static bool
begin(utf8_t *u, unsigned char c)
{
    u->low = 0x80;
    u->high = 0xBF;

    if (c >= 0xC2 && c <= 0xDF) {
        u->left = 1;

    } else if (c >= 0xE0 && c <= 0xEF) {
        u->left = 2;

        if (c == 0xE0) {
            u->low = 0xA0;      /* shorter ones would do */

        } else if (c == 0xED) {
            u->high = 0x9F;     /* surrogates */
        }

    } else if (c >= 0xF0 && c <= 0xF4) {
        u->left = 3;

        if (c == 0xF0) {
            u->low = 0x90;

        } else if (c == 0xF4) {
            u->high = 0x8F;     /* beyond U+10FFFF */
        }

    } else {
        return false;
    }

    return true;
}


bool
utf8_feed(utf8_t *u, const unsigned char *p, size_t len)
{
    const unsigned char  *end;

    end = p + len;

    while (p < end) {

        if (u->left == 0) {
            p = skip_ascii(p, end);

            if (p == end) {
                break;
            }

            if (!begin(u, *p)) {
                return false;
            }

            p++;
            continue;
        }

        if (*p < u->low || *p > u->high) {
            return false;
        }

        u->low = 0x80;
        u->high = 0xBF;
        u->left--;
        p++;
    }

    return true;
}
