/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef MODEL_PATH_H
#define MODEL_PATH_H

/* The choices of a run; the next run follows them up to the last but one. */

#include <stdbool.h>
#include <stdint.h>

#define PATH_LONGEST  20000

/* How a choice is made that no run before this one has made. */
typedef enum {
    PATH_FIRST,                 /* a search: the others come later */
    PATH_RANDOM
} path_mode_t;

/* Forgets all. */
void path_reset(path_mode_t mode);

/* Before a run. */
void path_begin(void);

/* The choices of the first run, as path_print has written them. */
void path_give(const char *list);

/*
 * One of 0..n-1.  *state is what the run is in now; where it has been here
 * before, it is set to what it was in then.  -1: the run is too long, -2: it
 * is not as the one before.
 */
int path_pick(unsigned n, uint32_t *state);

/* Where no choice was needed, but a replay has one.  false: too long. */
bool path_no_choice(void);

/* Whether this run has been here before. */
bool path_known(void);

/* What the next run is to do differently; false: all has been done. */
bool path_next(void);

/* The choices of this run: how many; and as --replay takes them. */
unsigned path_length(void);
void path_print(void);

#endif /* MODEL_PATH_H */
