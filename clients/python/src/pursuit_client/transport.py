"""Sends calls and waits for their answers, several on threads at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any, TypeVar

from . import calls
from .calls import Call, CodePart, Fields
from .codes import Codes
from .connection import Connection, EncodeJob, httpx, read
from .errors import InvalidRequest
from .retry import Attempts
from .rows import Array, Inputs, RowPart, Rows, parts_of, source_of

__all__ = ["Inputs", "Transport", "source_of"]

T = TypeVar("T")
P = TypeVar("P", RowPart, CodePart)


class Transport:
    """A connection to one server. May be used from several threads at once."""

    def __init__(self, connection: Connection, verify: Any) -> None:
        self._connection = connection
        self._http = httpx.Client(headers=connection.headers, verify=verify)

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    def send(self, call: Call[T], stopped: threading.Event | None = None) -> T:
        """Sends a call until it is answered. `stopped` ends its waits."""
        connection = self._connection
        attempts = Attempts(connection.deadline)
        pause = (stopped or threading.Event()).wait
        while True:
            try:
                answer = self._http.request(**connection.request(call, attempts.left, attempts.connect))
            except httpx.TransportError as fault:
                wait = connection.after_fault(attempts, call, fault)
            else:
                connection.answered = True
                if answer.is_success:
                    return read(call, answer.content)
                wait = attempts.after_answer(answer.status_code, answer.headers, answer.content, call.first_row)
            if pause(wait):
                raise StoppedError

    def _send_part(self, part: P, call_of: Callable[[P], Call[T]], stopped: threading.Event | None) -> list[T]:
        """Sends a part, in halves where the server takes no more."""
        try:
            return [self.send(call_of(part), stopped)]
        except InvalidRequest as error:
            self._connection.after_refusal(error, part)
        return [one for half in part.halves() for one in self._send_part(half, call_of, stopped)]

    def ordered(self, parts: Iterable[P], call_of: Callable[[P], Call[T]]) -> Generator[T, None, None]:
        """Answers in the order of the parts, several of which are under way. Parts are made as there is room for them."""
        source = iter(parts)
        first, second = next(source, None), next(source, None)
        if first is None:
            return
        if second is None:  # no threads for what one request holds
            yield from self._send_part(first, call_of, None)
            return
        waiting: deque[P] = deque([first, second])
        running: deque[Future[list[T]]] = deque()
        stopped = threading.Event()
        with ThreadPoolExecutor(self._connection.in_flight, thread_name_prefix="pursuit") as threads:
            try:
                while True:
                    while len(running) < self._connection.in_flight:
                        part = waiting.popleft() if waiting else next(source, None)
                        if part is None:
                            break
                        running.append(threads.submit(self._send_part, part, call_of, stopped))
                    if not running:
                        return
                    yield from running.popleft().result()
            finally:
                stopped.set()
                for future in running:
                    future.cancel()

    def encode(
        self, dictionary: str, source: Rows | Iterable[Array], fields: Fields, progress: bool | None
    ) -> Generator[Codes, None, None]:
        """Codes part by part, in order."""
        job = EncodeJob(dictionary, source.count if isinstance(source, Rows) else None, fields, progress)
        parts = parts_of(source, self._connection.limits)
        return self._report(job, self.ordered(parts, lambda part: calls.encode(dictionary, part, fields)))

    @staticmethod
    def _report(job: EncodeJob, parts: Generator[Codes, None, None]) -> Generator[Codes, None, None]:
        whole = False
        try:
            with closing(parts):
                for codes in parts:
                    yield job.add(codes)
            whole = True
        finally:
            job.close(whole)


class StoppedError(Exception):
    """Ends the waits of parts that nobody asks for any more."""
