# SPDX-License-Identifier: BSD-2-Clause
"""What libffi_python3 has compiled in, by these modules' names.

In nginx it is there where the package is not: `sys.modules` has it before
anybody imports `resty_ffi`, whose modules then import the same ones. So each
of these imports only the standard library and, by `from .name import …`, those
that interpreter.c lists before it.
"""
