/* SPDX-License-Identifier: BSD-2-Clause */

#include "venv.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "resty_ffi.h"


#ifdef Py_GIL_DISABLED
#define ABI  "t"
#else
#define ABI  ""
#endif


typedef struct {
    int  major;
    int  minor;
    int  micro;     /* -1: not said */
} version_t;


static bool
read_version(version_t *version, const char *text)
{
    version->micro = -1;

    return sscanf(text, "%d.%d.%d", &version->major, &version->minor,
                  &version->micro)
           >= 2;
}


/*
 * pyvenv.cfg has lines "key = value"; the key is version, version_info, or
 * both are there.  -1: it cannot be read, and errno says why; 0: it tells no
 * version.
 */
static int
read_cfg(version_t *version, const char *path)
{
    int    found;
    char   line[512], key[16], value[32];
    FILE  *file;

    file = fopen(path, "re");
    if (file == NULL) {
        return -1;
    }

    found = 0;

    while (!found && fgets(line, sizeof(line), file)) {
        found = sscanf(line, " %15[^= \t] = %31s", key, value) == 2
                && (strcasecmp(key, "version") == 0
                    || strcasecmp(key, "version_info") == 0)
                && read_version(version, value);
    }

    (void) fclose(file);

    return found;
}


static void
notice(const char *venv, const char *what)
{
    int   n;
    char  text[PATH_MAX + 256];

    n = snprintf(text, sizeof(text),
                 "FFI022: ffi_python3: VIRTUAL_ENV %s: %s", venv, what);
    resty_ffi_log(RESTY_FFI_LOG_NOTICE, text, n);
}


static bool
check(const char *venv, char *err, size_t size)
{
    int        said;
    char       path[PATH_MAX], text[160];
    version_t  ours, theirs;

    (void) read_version(&ours, Py_GetVersion());

    (void) snprintf(path, sizeof(path), "%s/pyvenv.cfg", venv);

    said = read_cfg(&theirs, path);

    if (said == -1) {
        (void) snprintf(err, size, "VIRTUAL_ENV %s is no virtual environment: "
                        "pyvenv.cfg: %s", venv, strerror(errno));
        return false;
    }

    if (said && (theirs.major != ours.major || theirs.minor != ours.minor)) {
        (void) snprintf(err, size, "VIRTUAL_ENV %s is of Python %d.%d, the "
                        "loader of Python %d.%d", venv, theirs.major,
                        theirs.minor, ours.major, ours.minor);
        return false;
    }

    (void) snprintf(path, sizeof(path), "%s/lib/python%d.%d" ABI
                    "/site-packages", venv, ours.major, ours.minor);

    if (access(path, X_OK) == -1) {
        (void) snprintf(err, size, "VIRTUAL_ENV %s has no packages for Python "
                        "%d.%d" ABI ": lib/python%d.%d" ABI "/site-packages: "
                        "%s", venv, ours.major, ours.minor, ours.major,
                        ours.minor, strerror(errno));
        return false;
    }

    if (said && theirs.micro != ours.micro && theirs.micro != -1) {
        (void) snprintf(text, sizeof(text), "it is of Python %d.%d.%d; the "
                        "standard library is that of the loader's, %d.%d.%d",
                        theirs.major, theirs.minor, theirs.micro, ours.major,
                        ours.minor, ours.micro);
        notice(venv, text);
    }

    return true;
}


bool
venv_python(char *python, size_t room, char *err, size_t size)
{
    const char  *venv;

    venv = getenv("VIRTUAL_ENV");

    if (venv == NULL || *venv == '\0') {
        (void) snprintf(python, room, "%s", RESTY_FFI_PYTHON);
        return true;
    }

    if (strlen(venv) + sizeof("/bin/python") > room) {
        (void) snprintf(err, size, "VIRTUAL_ENV is too long");
        return false;
    }

    if (!check(venv, err, size)) {
        return false;
    }

    (void) snprintf(python, room, "%s/bin/python", venv);

    if (access(python, X_OK) == -1) {
        notice(venv, "its bin/python cannot be run: child processes by "
               "sys.executable, as of multiprocessing, do not start");
    }

    return true;
}
