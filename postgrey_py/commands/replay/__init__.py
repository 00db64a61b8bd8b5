# SPDX-License-Identifier: GPL-2.0-or-later
"""`policy-test`: the mail of a log, asked of a policy server."""
