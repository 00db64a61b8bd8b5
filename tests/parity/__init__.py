# SPDX-License-Identifier: GPL-2.0-or-later
"""Our daemon beside Perl Postgrey 1.37: same answers, same log, same database, in turns and after kill -9."""
