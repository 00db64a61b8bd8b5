# SPDX-License-Identifier: GPL-2.0-or-later
"""`postgreyctl`: questions and orders to a running server."""
