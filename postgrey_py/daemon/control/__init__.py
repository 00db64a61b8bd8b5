# SPDX-License-Identifier: GPL-2.0-or-later
"""The control socket: an administrator's questions and orders."""
