# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests as a reader hands them on, brought to one form."""

from __future__ import annotations

from postgrey_py.greylist.request import MissingAttributeError, Request, make_request
from postgrey_py.protocol.reader import REQUEST_TYPE, RawRequest


def ready(request: Request | RawRequest | None) -> Request | RawRequest | None:
    """The request as it is decided, where there is nothing else to say about it; otherwise as it came."""
    if not isinstance(request, RawRequest) or request.garbage or request.attributes.get("request") != REQUEST_TYPE:
        return request
    try:
        return make_request(request.attributes)
    except MissingAttributeError:
        return request
