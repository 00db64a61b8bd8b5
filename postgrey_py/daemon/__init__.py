# SPDX-License-Identifier: GPL-2.0-or-later
"""The shell around the rules: sockets, signals, processes, log."""
