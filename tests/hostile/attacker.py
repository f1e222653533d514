"""What the attacker runs: a web server at an address that the guard lets pass, and a name server."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

from scripted_server import Asked, ScriptedServer

ADDRESS = "127.0.0.66"  # plays the public internet

Page = Callable[[Asked], None]


class Site:
    """A web server whose pages a test writes."""

    def __init__(self, port: int) -> None:
        self.pages: dict[str, Page] = {}
        self._server = ScriptedServer(self._answer, host=ADDRESS, port=port)

    def __enter__(self) -> Site:
        self._server.__enter__()
        return self

    def __exit__(self, *trouble: object) -> None:
        self._server.__exit__(*trouble)

    @property
    def n_asked(self) -> int:
        return len(self._server.asked)

    def url(self, path: str, host: str = ADDRESS) -> str:
        return f"http://{host}:{self._server.port}{path}"

    def file(self, path: str, body: bytes, **headers: str) -> str:
        """Offer a file; gives its URL."""
        self.pages[path] = lambda asked: asked.answer(body=body, **headers)
        return self.url(path)

    def redirect(self, path: str, location: str, status: int = 302) -> str:
        """Offer a redirect; gives its URL."""
        self.pages[path] = lambda asked: asked.answer(status, Location=location)
        return self.url(path)

    @contextmanager
    def holding(self) -> Iterator[str]:
        """A URL that does not answer while the block lasts."""
        go_on = threading.Event()
        self.pages["/held"] = lambda asked: (go_on.wait(60), asked.answer(404))[-1]
        try:
            yield self.url("/held")
        finally:
            go_on.set()

    def _answer(self, asked: Asked) -> None:
        page = self.pages.get(asked.target.partition("?")[0])
        if page is None:
            asked.answer(404)
        else:
            page(asked)


class NameServer:
    """Says for each name what a test wants, another thing each time where it wants that; other names do not exist."""

    def __init__(self) -> None:
        self._answers: dict[str, itertools.chain[Sequence[str]]] = {}
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((ADDRESS, 0))
        self._socket.settimeout(0.05)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def address(self) -> str:
        return f"{ADDRESS}:{self._socket.getsockname()[1]}"

    def say(self, name: str, *answers: Sequence[str]) -> None:
        """Answer with each of these in turn, and with the last one from then on."""
        self._answers[name] = itertools.chain(answers, itertools.repeat(answers[-1]))

    def __enter__(self) -> NameServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.join(10)
        self._socket.close()

    def _serve(self) -> None:
        while not self._closing.is_set():
            try:
                question, asker = self._socket.recvfrom(512)
            except TimeoutError:
                continue
            name = question.decode()
            self.asked.append(name)
            answer = next(self._answers[name]) if name in self._answers else ()
            self._socket.sendto(",".join(answer).encode(), asker)
