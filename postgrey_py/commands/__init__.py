# SPDX-License-Identifier: GPL-2.0-or-later
"""The companion commands, one module each."""
