# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules of greylisting: pure, without I/O, clock, event loop or Berkeley DB."""
