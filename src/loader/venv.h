/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_VENV_H
#define PYTHON_VENV_H

/*
 * The virtual environment that VIRTUAL_ENV names.  Only its packages are
 * used, never its Python's standard library: so it has to be one of the same
 * minor version.
 */

#include <stdbool.h>
#include <stddef.h>

/*
 * Any thread, before Python starts.  Writes to python (room bytes) the path of
 * the environment's python, by which CPython finds its packages, or of the
 * loader's own where VIRTUAL_ENV is not set; notices go to error.log.  false,
 * with the reason in err (size bytes), where the environment cannot be used.
 */
bool venv_python(char *python, size_t room, char *err, size_t size);

#endif /* PYTHON_VENV_H */
