# SPDX-License-Identifier: GPL-2.0-or-later
"""What several tests need: servers as child processes, and a policy client."""
