# SPDX-License-Identifier: GPL-2.0-or-later
"""`postgreyreport`: mail that was deferred and never came back, read from a mail log."""
