# SPDX-License-Identifier: GPL-2.0-or-later
"""Facts that others know about a request: look-ups that take time, each with a deadline."""
