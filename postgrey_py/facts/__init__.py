# SPDX-License-Identifier: GPL-2.0-or-later
"""What others know about a request: look-ups that take time, each with a deadline."""
