# SPDX-License-Identifier: GPL-2.0-or-later
"""What a request deserves: pure rules, without I/O, clock, event loop or Berkeley DB."""
