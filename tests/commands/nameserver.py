# SPDX-License-Identifier: GPL-2.0-or-later
"""A name server on loopback that is as slow, or as moody, as a test wants it."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from types import TracebackType

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

# What may stand for the data of a name: the server does not answer, or only with this code, or only by TCP.
SILENT = "silent"
SERVFAIL = "SERVFAIL"
BY_TCP = "by TCP:"
ONCE_REFUSED = "once refused:"

TTL = 60


class NameServer:
    """A context manager; `address` is where it listens, as --nameserver takes it.

    `zone` has the data for each name and type: `{("1.2.0.192.in-addr.arpa.", "PTR"): "mail.example.com."}`, several
    with ", " between, or one of the words above. Other names do not exist; without a zone, every address has a name.
    """

    def __init__(self, zone: dict[tuple[str, str], str] | None = None, delay: float = 0.0) -> None:
        self.zone = zone
        self.delay = delay
        self.asked: Counter[tuple[str, str]] = Counter()
        self.waiting = 0
        self.most_waiting = 0
        self.port = 0
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        await self._listen()
        self._listening.set()
        await self._stopped.wait()
        self._tcp.close()
        self._udp.close()

    async def _listen(self) -> None:
        server = self

        class Datagrams(asyncio.DatagramProtocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                server._udp = transport  # type: ignore[assignment]

            def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
                server._loop.create_task(server._answer_datagram(data, addr))

        self._udp: asyncio.DatagramTransport
        while True:
            self._tcp = await asyncio.start_server(self._answer_stream, "127.0.0.1", 0)
            self.port = self._tcp.sockets[0].getsockname()[1]
            try:
                await self._loop.create_datagram_endpoint(Datagrams, ("127.0.0.1", self.port))
            except OSError:
                # Somebody has the port of this number for datagrams.
                self._tcp.close()
            else:
                return

    async def _answer_datagram(self, octets: bytes, client: tuple[str, int]) -> None:
        response = await self._respond(octets, by_tcp=False)
        if response is not None:
            self._udp.sendto(response, client)

    async def _answer_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2), "big")
        response = await self._respond(await reader.readexactly(length), by_tcp=True)
        if response is not None:
            writer.write(len(response).to_bytes(2, "big") + response)
            await writer.drain()
        writer.close()

    async def _respond(self, octets: bytes, by_tcp: bool) -> bytes | None:
        query = dns.message.from_wire(octets)
        question = query.question[0]
        key = (question.name.to_text(), dns.rdatatype.to_text(question.rdtype))
        self.asked[key] += 1
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        await asyncio.sleep(self.delay)
        self.waiting -= 1
        data = self._data(key)
        response = dns.message.make_response(query, recursion_available=True)
        if data == SILENT:
            return None
        if data == SERVFAIL or (data.startswith(ONCE_REFUSED) and self.asked[key] == 1):
            response.set_rcode(dns.rcode.SERVFAIL if data == SERVFAIL else dns.rcode.REFUSED)
        elif data.startswith(BY_TCP) and not by_tcp:
            response.flags |= dns.flags.TC
        elif data:
            self._add_answer(response, question.name, key[1], data.removeprefix(ONCE_REFUSED).removeprefix(BY_TCP))
        else:
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response.to_wire()

    def _data(self, key: tuple[str, str]) -> str:
        if self.zone is None:
            return f"host-{key[0].split('.')[0]}.example.com."
        return self.zone.get(key, "")

    def _add_answer(self, response: dns.message.Message, name: dns.name.Name, rdtype: str, data: str) -> None:
        alias = data.removeprefix("CNAME ")
        if alias != data:
            response.answer.append(dns.rrset.from_text(name, TTL, "IN", "CNAME", alias))
            name = dns.name.from_text(alias)
            data = self._data((alias, rdtype))
        response.answer.append(dns.rrset.from_text_list(name, TTL, "IN", rdtype, data.split(", ")))

    def __enter__(self) -> NameServer:
        self._thread.start()
        assert self._listening.wait(timeout=30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()
