/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef MODEL_OS_H
#define MODEL_OS_H

/* What os.c has for shim.h and explore.c besides; scenarios: see model.h. */

#include <stddef.h>

/* Before a run: no memory, no eventfds. */
void os_reset(void);

/* After a run: nothing has been written to memory that was freed. */
void os_check(void);

/* At the end of a fiber: calls what pthread_key_create was given. */
void os_thread_ends(void);

/* Where the memory from malloc is, and how much of it has been used. */
void *os_heap(size_t *size);

/* Fails where p is in memory that has been freed. */
void os_touch(const volatile void *p);

#endif /* MODEL_OS_H */
