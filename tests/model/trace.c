/* SPDX-License-Identifier: BSD-2-Clause */

#include <stdio.h>

#include "trace.h"


#define STEPS  20000


static struct {
    int          line;
    const char  *fiber, *what, *where;
    char         note[24];
} steps[STEPS];

static unsigned  nsteps;


void
trace_reset(void)
{
    nsteps = 0;
}


bool
trace_step(const char *fiber, const char *what, const char *where, int line)
{
    if (nsteps == STEPS) {
        return false;
    }

    steps[nsteps].fiber = fiber;
    steps[nsteps].what = what;
    steps[nsteps].where = where;
    steps[nsteps].line = line;
    steps[nsteps].note[0] = '\0';
    nsteps++;

    return true;
}


void
trace_note(const char *fmt, va_list args)
{
    if (nsteps) {
        (void) vsnprintf(steps[nsteps - 1].note,
                         sizeof(steps[nsteps - 1].note), fmt, args);
    }
}


void
trace_print(void)
{
    unsigned  i;

    for (i = 0; i < nsteps; i++) {
        printf("#   %-10s %s  %s:%d %s\n", steps[i].fiber, steps[i].what,
               steps[i].where, steps[i].line, steps[i].note);
    }
}
