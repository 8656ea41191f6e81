# SPDX-License-Identifier: BSD-2-Clause
"""The part that is written in C, or what stands in for it outside nginx."""

try:
    import _resty_ffi as native
except ImportError:
    from . import _standin as native  # type: ignore[no-redef]

__all__ = ["native"]
