# SPDX-License-Identifier: GPL-2.0-or-later
"""The policy delegation protocol without sockets: octets to requests."""
