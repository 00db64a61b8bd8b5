# SPDX-License-Identifier: GPL-2.0-or-later
"""Real mail through Debian's Postfix, with the policy server behind it."""
