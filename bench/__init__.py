# SPDX-License-Identifier: GPL-2.0-or-later
"""Speed and stalls of the server beside Perl Postgrey: measured and reported, never asserted."""
