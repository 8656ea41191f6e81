/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_REPORT_H
#define PYTHON_REPORT_H

/*
 * What Python's threads do, for error.log.  Who asks must not wait for the
 * GIL, which a C extension may hold for ever: a thread of ours does, one
 * however often it is asked, and another tells error.log where it waits in
 * vain.
 */

/*
 * Any thread, interpreter running; does not block.  Has error.log told,
 * soon, what the threads of the runtime of tq do, or (NULL) the one that
 * leaves (see leave.h).  Asked again before that, it is told once; where no
 * memory or thread is to be had, never.
 */
void report_ask(void *tq);

/*
 * The same: has resty_ffi_described told, soon, what the thread tid does, or an
 * asyncio task, for the task tsk.
 */
void report_describe(void *tsk, int tid);

/*
 * Any thread that does not hold the GIL.  Waits until all that was asked for
 * is written; after ms milliseconds error.log is told that the GIL cannot be
 * had, where that is why.
 */
void report_wait(int ms);

#endif /* PYTHON_REPORT_H */
