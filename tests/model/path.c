/* SPDX-License-Identifier: BSD-2-Clause */

#include <stdio.h>

#include "path.h"


/* the first of them, known, are given */
static struct {
    uint16_t  n;
    uint16_t  chosen;
    uint32_t  state;
} path[PATH_LONGEST];

static unsigned     at, known;
static path_mode_t  mode;
static uint32_t     seed;

/* of a replay, where everything is a point */
static char         choices[2 * PATH_LONGEST];
static unsigned     nchoices;


void
path_reset(path_mode_t how)
{
    mode = how;
    known = 0;
}


void
path_begin(void)
{
    if (mode == PATH_RANDOM) {
        known = 0;
    }

    at = 0;
    nchoices = 0;
}


void
path_give(const char *list)
{
    for (known = 0; known < PATH_LONGEST && list[known]; known++) {
        path[known].chosen = (uint16_t) (list[known] - '0');
    }
}


static uint32_t
chance(void)
{
    seed = seed ? seed : 1;
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;

    return seed;
}


static bool
remember(unsigned choice)
{
    if (nchoices == sizeof(choices)) {
        return false;
    }

    choices[nchoices++] = (char) choice;

    return true;
}


int
path_pick(unsigned n, uint32_t *state)
{
    if (at == known) {
        if (at == PATH_LONGEST) {
            return -1;
        }

        path[at].n = (uint16_t) n;
        path[at].chosen = (uint16_t) (mode == PATH_RANDOM ? chance() % n : 0);
        path[at].state = *state;
        known++;
    }

    *state = path[at].state;

    if (!remember(path[at].chosen)) {
        return -1;
    }

    return path[at].chosen < n ? path[at++].chosen : -2;
}


bool
path_no_choice(void)
{
    return remember(0);
}


bool
path_known(void)
{
    return at < known;
}


bool
path_next(void)
{
    while (known && path[known - 1].chosen + 1 == path[known - 1].n) {
        known--;
    }

    if (known) {
        path[known - 1].chosen++;
    }

    return known;
}


unsigned
path_length(void)
{
    return at;
}


void
path_print(void)
{
    unsigned  i;

    for (i = 0; i < nchoices; i++) {
        putchar('0' + choices[i]);
    }
}
