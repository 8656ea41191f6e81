/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_UTF8_H
#define PYTHON_UTF8_H

/* Whether bytes that are cut anywhere are UTF-8, as early as can be told. */

#include <stdbool.h>
#include <stddef.h>

/* Zeroed: between two characters. */
typedef struct {
    unsigned       left;    /* bytes of the character that are to come */
    unsigned char  low;     /* what the next of them may be */
    unsigned char  high;
} utf8_t;

/* false: these bytes make it something else, whatever comes. */
bool utf8_feed(utf8_t *u, const unsigned char *p, size_t len);

#endif /* PYTHON_UTF8_H */
