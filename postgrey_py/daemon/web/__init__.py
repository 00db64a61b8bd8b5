# SPDX-License-Identifier: GPL-2.0-or-later
"""The page that shows whether greylisting works and pays: a pure function of a view of the server."""
