# SPDX-License-Identifier: GPL-2.0-or-later
"""The choice of clients for a report: --skip_clients, --match_clients and --skip_pool of `postgreyreport`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from postgrey_py.greylist.address import IPV4_BITS, Address
from postgrey_py.greylist.list_lines import Line
from postgrey_py.greylist.whitelists import ClientList, Watch
from postgrey_py.listfiles import as_text, read_list_file


class ClientFilter:
    """Files with entries as in the server's client whitelist. Raises PostgreyError where one can't be read.

    `say` is told what there is to say about lines, and later of patterns that take too long.
    """

    def __init__(
        self, skipped: Sequence[str], matched: Sequence[str], skips_pools: bool, say: Callable[[str], None]
    ) -> None:
        watch = Watch(time.thread_time, lambda remark: say(as_text(remark)))
        self._skipped = ClientList(_read_lines(skipped), watch) if skipped else None
        self._matched = ClientList(_read_lines(matched), watch) if matched else None
        self._skips_pools = skips_pools
        self.has_entries = bool(skipped or matched or skips_pools)
        for listed in (self._skipped, self._matched):
            for remark in listed.remarks if listed is not None else ():
                say(as_text(remark.text))

    def is_wanted(self, name: str, address: Address) -> bool:
        """Whether the report is about this client."""
        if self._matched is not None and not self._matched.match(name, address):
            return False
        if self._skipped is not None and self._skipped.match(name, address):
            return False
        return not (self._skips_pools and is_in_pool(name, address))


def is_in_pool(name: str, address: Address) -> bool:
    """Whether the name looks like one of many that a provider makes of addresses: it has their last two numbers."""
    if address.bits == IPV4_BITS:
        return all(number in name for number in address.text().split(".")[-2:])
    # In names an IPv6 address has its leading zeros, because hardly any would be unique without.
    return all(group.zfill(4) in name for group in address.text().lower().split(":")[-2:])


def _read_lines(paths: Sequence[str]) -> list[Line]:
    return [line for path in paths for line in read_list_file(path)]
