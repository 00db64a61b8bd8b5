# SPDX-License-Identifier: GPL-2.0-or-later
"""Put first on PYTHONPATH, this leaves a Python only the binding that Debian packages."""

from __future__ import annotations

import sys
from typing import Any

modules: dict[str, Any] = sys.modules
modules["berkeleydb"] = None
sys.path.append("/usr/lib/python3/dist-packages")
