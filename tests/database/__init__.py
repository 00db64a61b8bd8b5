# SPDX-License-Identifier: GPL-2.0-or-later
"""The database room, against real Berkeley DB files."""
