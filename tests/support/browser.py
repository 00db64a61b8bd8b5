# SPDX-License-Identifier: GPL-2.0-or-later
"""A real Chromium without a screen, driven over its DevTools protocol through two pipes.

What it has to complain of (errors of the console, violations of a Content-Security-Policy) is in `complaints`.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHROMIUM = "chromium-headless-shell"
TIMEOUT = 60.0
_OPTIONS = ("--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run")


class Page:
    """One page of a browser; `complaints` grows while it is used."""

    def __init__(self, process: subprocess.Popen[bytes], write_to: int, read_from: int) -> None:
        self._process = process
        self._write_to = write_to
        self._read_from = read_from
        self._received = b""
        self._number = 0
        self._session: dict[str, str] = {}
        self._events: list[dict[str, Any]] = []
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = {"sessionId": session}
        for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters, **self._session}
        os.write(self._write_to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, url: str, width: int = 1200, height: int = 900, scheme: str = "light") -> dict[str, str]:
        """Load a page in a window of this size and return its headers, with small letters."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._events.clear()
        assert "errorText" not in self.call("Page.navigate", url=url)
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._receive()
        headers = [
            event["params"]["response"]["headers"]
            for event in self._events
            if event["method"] == "Network.responseReceived" and event["params"]["type"] == "Document"
        ]
        return {name.lower(): value for name, value in headers[-1].items()} if headers else {}

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, which the page itself could not run."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a key."""
        text = {"Enter": "\r", " ": " "}.get(key, "")
        code = {"Tab": 9, "Enter": 13, " ": 32}[key]
        for kind in ("keyDown", "keyUp"):
            typed = text if kind == "keyDown" else ""
            self.call("Input.dispatchKeyEvent", type=kind, key=key, text=typed, windowsVirtualKeyCode=code)

    def picture(self) -> bytes:
        """Return a PNG of the whole page."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(shot["data"])

    def _receive(self) -> dict[str, Any]:
        """Return the next message, having noted what it complains of."""
        deadline = time.monotonic() + TIMEOUT
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._read_from], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(self._read_from, 1 << 16) if ready else b""
            assert chunk, f"the browser says nothing; its exit status is {self._process.poll()}"
            self._received += chunk
        octets, _, self._received = self._received.partition(b"\0")
        message: dict[str, Any] = json.loads(octets)
        if "method" in message:
            self._events.append(message)
            self._note(message["method"], message["params"])
        return message

    def _note(self, method: str, event: dict[str, Any]) -> None:
        if method == "Log.entryAdded" and event["entry"]["level"] in {"warning", "error"}:
            self.complaints.append(event["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(event["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(str(event["args"]))
        elif method == "Audits.issueAdded":
            self.complaints.append(str(event["issue"]))
        elif method == "Network.loadingFailed":
            self.complaints.append(event["errorText"])


@contextlib.contextmanager
def open_browser(home: Path, fonts: Path | None = None) -> Iterator[Page]:
    """Run a browser with a profile of its own below `home`, and with this configuration of fonts."""
    their_input, our_output = os.pipe()
    our_input, their_output = os.pipe()
    env = {**os.environ, "HOME": str(home), **({"FONTCONFIG_FILE": str(fonts)} if fonts else {})}
    # The protocol is spoken on descriptors 3 and 4; the shell puts them there.
    shell = f'exec "$@" 3<&{their_input} 4>&{their_output}'
    with (
        home.joinpath("browser.log").open("wb") as log,
        subprocess.Popen(
            ["bash", "-c", shell, "bash", CHROMIUM, *_OPTIONS, f"--user-data-dir={home / 'profile'}"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=env,
            pass_fds=(their_input, their_output),
        ) as process,
    ):
        os.close(their_input)
        os.close(their_output)
        try:
            page = Page(process, our_output, our_input)
            yield page
            page.call("Browser.close")
        finally:
            process.kill()
            os.close(our_output)
            os.close(our_input)
