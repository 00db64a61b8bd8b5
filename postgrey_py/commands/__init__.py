# SPDX-License-Identifier: GPL-2.0-or-later
"""The companion commands, and what they share; `registry` lists them, `report` and `replay` are rooms of their own."""
