"""Control headless Chromium through two pipes, without further packages: read a page's requests, messages and measurements."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-pipe",
)  # fmt: skip
# The browser reads from file descriptor 3 and writes to 4. The pipes may have these numbers, so both get higher ones first.
START = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(pipe), fcntl.F_DUPFD, 10) for pipe in sys.argv[1:3]]
for place, pipe in zip((3, 4), pipes):
    os.dup2(pipe, place)
    os.close(pipe)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Tab:
    """One page of the browser.

    Attributes:
        requests: addresses that the page requested.
        messages: errors and warnings, and whatever is written to the console.
    """

    def __init__(self, to: int, back: int) -> None:
        self.to, self.back, self.buffer, self.count = to, back, b"", 0
        self.session: str | None = None
        self.requests: list[str] = []
        self.messages: list[str] = []
        self.loaded = False
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Network", "Log", "Runtime", "Page"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol and return its result."""
        self.count += 1
        session = {"sessionId": self.session} if self.session else {}
        text = json.dumps({"id": self.count, "method": method, "params": params} | session)
        os.write(self.to, text.encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self.count:
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            part = os.read(self.back, 1 << 16)
            assert part, "the browser has ended"
            self.buffer += part
        text, _, self.buffer = self.buffer.partition(b"\0")
        message = json.loads(text)
        params = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Log.entryAdded":
                self.messages.append(params["entry"]["text"])
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown":
                self.messages.append(json.dumps(params))
            case "Page.loadEventFired":
                self.loaded = True
        return message

    def show(self, path: Path, *, width: int = 1200, dark: bool = False) -> None:
        """Open a file in a window of this width, and wait until it has loaded."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.ask("Emulation.setEmulatedMedia", features=scheme)
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 600)
        self.loaded = False
        self.ask("Page.navigate", url=path.absolute().as_uri())
        while not self.loaded:
            self._next()

    def value(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the page as it is now."""
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")


@contextlib.contextmanager
def tab(profile: Path) -> Iterator[Tab]:
    """Start the browser with its own profile folder, yield a page, and end the browser."""
    (their_in, our_out), (our_in, their_out) = os.pipe(), os.pipe()
    command = [sys.executable, "-c", START, str(their_in), str(their_out), str(PROGRAM), *FLAGS, f"--user-data-dir={profile}"]
    browser = subprocess.Popen(command, pass_fds=(their_in, their_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(their_in)
    os.close(their_out)
    try:
        yield Tab(our_out, our_in)
    finally:
        os.close(our_out)
        os.close(our_in)
        browser.terminate()
        browser.wait(30)
