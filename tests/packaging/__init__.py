# SPDX-License-Identifier: GPL-2.0-or-later
"""The start-up scripts, the wheel and the Debian package, each installed and run for real. Needs root."""
