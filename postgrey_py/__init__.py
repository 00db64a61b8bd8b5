# SPDX-License-Identifier: GPL-2.0-or-later
"""A greylisting policy server for Postfix and Exim that takes the place of Postgrey 1.37."""

__version__ = "1.0.0"
