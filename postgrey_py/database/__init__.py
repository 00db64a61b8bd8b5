# SPDX-License-Identifier: GPL-2.0-or-later
"""The triplet and client databases; the only room that imports Berkeley DB."""
