/* SPDX-License-Identifier: BSD-2-Clause */

/* A library that is no runtime. */

int not_a_runtime(void);


int
not_a_runtime(void)
{
    return 1;
}
