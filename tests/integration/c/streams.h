/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef STREAMS_H
#define STREAMS_H

/* What tests look at, from LuaJIT's ffi: one state for a process. */

int streams_running(void);      /* calls that have not ended */
int streams_taken(void);        /* calls so far */
int streams_gone(void);         /* callers that have gone */
int streams_refused(void);      /* sends that were to wait */
int streams_faults(void);       /* what must not be */
long streams_sent(void);        /* parts, by reference */
long streams_released(void);    /* of these */
long streams_undelivered(void); /* of the released ones */
long streams_most(void);        /* bytes that were not released at a time */

#endif
