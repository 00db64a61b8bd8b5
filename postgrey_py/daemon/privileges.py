# SPDX-License-Identifier: GPL-2.0-or-later
"""Privileges that Linux lets a process give up beside its user: capabilities, and gaining more by what it executes.

Elsewhere, and where it is not permitted (a service manager may have done it before), nothing happens.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ctypes

# Source: linux/prctl.h, linux/capability.h.
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522

# There are 41 now; an unknown number is an error that ends the loop.
_MOST_CAPABILITIES = 64


def empty_bounding_set() -> None:
    """Let no program that this process may execute have a capability, whatever the file says.

    The process keeps those that it has. To be called as root; where that is not permitted, nothing changes.
    """
    _control(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    for capability in range(_MOST_CAPABILITIES):
        if not _control(_PR_CAPBSET_DROP, capability):
            return


def drop_capabilities() -> None:
    """Give up all capabilities, inheritable ones too, which stay when root becomes another user."""
    libc = _load_libc()
    if libc is not None:
        # Version and process id 0 (this one); then three sets of 64 bits.
        header = _CAPABILITY_VERSION_3.to_bytes(4, sys.byteorder) + bytes(4)
        libc.capset(header, bytes(3 * 8))


def forbid_new_privileges() -> None:
    """From now on no program that this process may execute gives it privileges, such as by a set-user-ID bit."""
    _control(_PR_SET_NO_NEW_PRIVS, 1)


def _control(*arguments: int) -> bool:
    """Call prctl(2); false where it fails or is not to be had."""
    libc = _load_libc()
    if libc is None:
        return False
    import ctypes

    padded = (*arguments, *(0 for _ in range(5 - len(arguments))))
    return bool(libc.prctl(*(ctypes.c_ulong(argument) for argument in padded)) == 0)


@cache
def _load_libc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        # Where memory must not be executable, older versions can't be imported.
        import ctypes

        return ctypes.CDLL(None)
    except (ImportError, MemoryError, OSError):
        return None
