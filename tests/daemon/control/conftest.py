# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers of ours, and connections to their control sockets."""

from __future__ import annotations

from tests.daemon.conftest import start

__all__ = ["start"]
