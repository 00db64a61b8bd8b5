# SPDX-License-Identifier: GPL-2.0-or-later
"""Random input for what reads files and strangers' text."""
