# SPDX-License-Identifier: BSD-2-Clause
"""What a Python says about itself, for the Makefile.

usage: PYTHON scripts/python_config.py cflags|ldflags|site PREFIX
"""

import shlex
import sys
import sysconfig


def cflags() -> str:
    paths = sysconfig.get_paths()
    flags = [f"-I{paths[name]}" for name in ("include", "platinclude")]
    # the form of PYTHONHOME
    home = dict.fromkeys((sys.base_prefix, sys.base_exec_prefix))
    texts = {
        "PYTHON": sys.executable,
        "BASE_PYTHON": getattr(sys, "_base_executable", sys.executable),
        "HOME": ":".join(home),
    }
    flags += [f'-DRESTY_FFI_{key}="{text}"' for key, text in texts.items()]
    return "\n".join(shlex.quote(flag) for flag in dict.fromkeys(flags))


def ldflags() -> str:
    var = sysconfig.get_config_var
    if not var("Py_ENABLE_SHARED"):
        sys.exit(
            f"{sys.executable} has no shared libpython:"
            " build it with --enable-shared, or choose another PYTHON="
        )
    libdir = var("LIBDIR")
    flags = [f"-L{libdir}", f"-L{var('LIBPL')}", f"-lpython{var('LDVERSION')}"]
    if not libdir.startswith(("/usr/lib", "/lib")):
        flags.append(f"-Wl,-rpath,{libdir}")
    return "\n".join(shlex.quote(flag) for flag in flags)


def site(prefix: str) -> str:
    if prefix == "/usr/local":
        return sysconfig.get_path("purelib")
    if prefix == "/usr" and "deb_system" in sysconfig.get_scheme_names():
        return sysconfig.get_path("purelib", "deb_system")
    version = sysconfig.get_python_version()
    return f"{prefix}/lib/python{version}/site-packages"


def main(argv: list[str]) -> None:
    if sys.version_info < (3, 10):  # noqa: UP036
        sys.exit(f"{sys.executable} is too old: 3.10 or newer is needed")
    if argv == ["cflags"]:
        print(cflags())
    elif argv == ["ldflags"]:
        print(ldflags())
    elif len(argv) == 2 and argv[0] == "site":
        print(site(argv[1]))
    else:
        sys.exit((__doc__ or "").strip())


main(sys.argv[1:])
