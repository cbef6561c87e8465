"""Sends calls within asyncio, several at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import aclosing
from typing import Any, TypeAlias, TypeVar

from . import calls, rows
from .calls import Call, CodePart, Fields
from .codes import Codes
from .connection import Connection, EncodeJob, httpx, read
from .errors import InvalidRequest
from .retry import Attempts
from .rows import Array, Cutter, Inputs, RowPart, Rows, parts_of, rows_of

T = TypeVar("T")
P = TypeVar("P", RowPart, CodePart)
#: Rows, blocks of rows, or blocks of rows that come in over time.
AsyncInputs: TypeAlias = "Inputs | AsyncIterable[Array]"


def source_of(inputs: AsyncInputs) -> Rows | Iterable[Array] | AsyncIterable[Array]:
    """Rows of one array, or the blocks of a stream, asynchronous or not."""
    return inputs if isinstance(inputs, AsyncIterable) else rows.source_of(inputs)


class AsyncTransport:
    """A connection to one server."""

    def __init__(self, connection: Connection, verify: Any) -> None:
        self._connection = connection
        self._http = httpx.AsyncClient(headers=connection.headers, verify=verify)

    async def aclose(self) -> None:
        """Closes its connections."""
        await self._http.aclose()

    async def send(self, call: Call[T]) -> T:
        """Sends a call until it is answered."""
        connection = self._connection
        attempts = Attempts(connection.deadline)
        while True:
            try:
                answer = await self._http.request(**connection.request(call, attempts.left, attempts.connect))
            except httpx.TransportError as fault:
                wait = connection.after_fault(attempts, call, fault)
            else:
                connection.answered = True
                if answer.is_success:
                    return read(call, answer.content)
                wait = attempts.after_answer(answer.status_code, answer.headers, answer.content, call.first_row)
            await asyncio.sleep(wait)

    async def _send_part(self, part: P, call_of: Callable[[P], Call[T]]) -> list[T]:
        """Sends a part, in halves where the server takes no more."""
        try:
            return [await self.send(call_of(part))]
        except InvalidRequest as error:
            self._connection.after_refusal(error, part)
        return [one for half in part.halves() for one in await self._send_part(half, call_of)]

    async def ordered(self, parts: Iterable[P] | AsyncIterator[P], call_of: Callable[[P], Call[T]]) -> AsyncGenerator[T, None]:
        """Answers in the order of the parts, several of which are under way. Parts are made as there is room for them."""
        source = parts if isinstance(parts, AsyncIterator) else _aiter(parts)
        running: deque[asyncio.Task[list[T]]] = deque()
        more = True
        try:
            while True:
                while more and len(running) < self._connection.in_flight:
                    part = await anext(source, None)
                    if part is None:
                        more = False
                    else:
                        running.append(asyncio.create_task(self._send_part(part, call_of)))
                if not running:
                    return
                # It stays in the list until it has ended, so that it is cancelled with the others.
                answers = await running[0]
                running.popleft()
                for answer in answers:
                    yield answer
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def encode(
        self,
        dictionary: str,
        source: Rows | Iterable[Array] | AsyncIterable[Array],
        fields: Fields,
        progress: bool | None,
    ) -> AsyncGenerator[Codes, None]:
        """Codes part by part, in order."""
        job = EncodeJob(dictionary, source.count if isinstance(source, Rows) else None, fields, progress)
        return self._report(job, self.ordered(self._cut(source), lambda part: calls.encode(dictionary, part, fields)))

    @staticmethod
    async def _report(job: EncodeJob, parts: AsyncGenerator[Codes, None]) -> AsyncGenerator[Codes, None]:
        whole = False
        try:
            async with aclosing(parts):
                async for codes in parts:
                    yield job.add(codes)
            whole = True
        finally:
            job.close(whole)

    def _cut(self, source: Rows | Iterable[Array] | AsyncIterable[Array]) -> AsyncIterator[RowPart]:
        if isinstance(source, AsyncIterable):
            return self._cut_stream(source)
        return _aiter(parts_of(source, self._connection.limits))

    async def _cut_stream(self, blocks: AsyncIterable[Array]) -> AsyncIterator[RowPart]:
        cutter = Cutter(self._connection.limits)
        async for block in blocks:
            for part in cutter.cut(rows_of(block)):
                yield part
        for part in cutter.rest():
            yield part


async def _aiter(parts: Iterable[P]) -> AsyncIterator[P]:
    for part in parts:
        yield part
