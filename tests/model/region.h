/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef MODEL_REGION_H
#define MODEL_REGION_H

/* Memory that is zero when a run begins, and part of a state. */

#include <stddef.h>
#include <stdint.h>

/* Before the first run. */
void region_add(void *p, size_t size);

void region_clear(void);
uint64_t region_hash(uint64_t hash);

#endif /* MODEL_REGION_H */
