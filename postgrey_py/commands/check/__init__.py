# SPDX-License-Identifier: GPL-2.0-or-later
"""`postgrey-check`: a plugin for monitoring systems."""
