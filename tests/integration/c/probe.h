/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PROBE_H
#define PROBE_H

/*
 * What tests look at and turn, from LuaJIT's ffi, on nginx's thread.
 * One state for all runtimes of the library in a process.
 */

int probe_received(void);   /* tasks polled */
int probe_held(void);       /* tasks that wait for probe_release */
int probe_release(void);    /* answers them with "released"; how many */
int probe_nulls(void);      /* polls that returned NULL */
int probe_threads(void);    /* polling threads that live */
int probe_inits(void);      /* calls of libffi_init */
int probe_gated(void);      /* threads that a "gate" request holds up */
int probe_reports(void);    /* calls of resty_ffi_report */
int probe_abandoned(void);  /* answers to "huge" that Lua did not get */
void probe_open_gate(void);
void probe_fail_next(void); /* the next libffi_init returns 7 */
void probe_revive(void);    /* one more thread polls the newest runtime */
int probe_answer_stale(void); /* answers the last task once more */

#endif
