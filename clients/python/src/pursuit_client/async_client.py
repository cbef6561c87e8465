"""The client for programs in asyncio: the same calls, awaited."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from . import calls
from .calls import Call, CodePart, Fields, code_parts
from .codes import Codes
from .connection import Connection, EncodeJob, check_edits, httpx, unanswerable
from .errors import InvalidRequest
from .retry import Attempts
from .rows import Array, Cutter, Inputs, RowPart, Rows, parts_of, rows_of, source_of
from .types import (
    Budget,
    Budgets,
    Contrast,
    Dictionary,
    Edit,
    EncodeFields,
    Feature,
    FoundFeature,
    Steered,
    SteeringSet,
    Transferred,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")
P = TypeVar("P", RowPart, CodePart)
Floats = npt.NDArray[np.float32]
#: Rows, blocks of rows, or blocks of rows that come in over time.
AsyncInputs: TypeAlias = "Inputs | AsyncIterable[Array]"


class AsyncClient:
    """Calls a Pursuit server within asyncio. Its methods are those of `Client`, awaited; so are its arguments."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        *,
        api_key: str | None = None,
        deadline: float = 600.0,
        in_flight: int = 4,
        rows_per_request: int = 4096,
        verify: Any = True,
    ) -> None:
        self._connection = Connection.to(url, api_key, deadline, in_flight, rows_per_request)
        self._http = httpx.AsyncClient(headers=self._connection.headers, verify=verify)

    def __repr__(self) -> str:
        return f"AsyncClient({self._connection.address!r})"

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes its connections."""
        await self._http.aclose()

    # ── dictionaries ──

    async def dictionaries(self) -> list[Dictionary]:
        """All dictionaries, broken ones included."""
        return await self._send(calls.list_dictionaries())

    async def dictionary(self, dictionary: str) -> Dictionary:
        """One dictionary: its sizes, encoder, version and state."""
        return await self._send(calls.get_dictionary(dictionary))

    async def load(self, dictionary: str) -> None:
        """Loads a dictionary from its folder, or replaces it by what the folder holds now. Needs an admin key."""
        await self._send(calls.load(dictionary))

    async def unload(self, dictionary: str) -> None:
        """Unloads a dictionary once all it has accepted is answered. Needs an admin key."""
        await self._send(calls.unload(dictionary))

    # ── rows and codes ──

    async def encode(
        self, dictionary: str, inputs: AsyncInputs, *, progress: bool | None = None, **fields: Unpack[EncodeFields]
    ) -> Codes:
        """Codes of any number of rows, in order. Takes the arguments of `Client.encode_parts`."""
        source = inputs if isinstance(inputs, AsyncIterable) else source_of(inputs)
        found = self._encode_parts(dictionary, source, Fields.given(fields), progress)
        parts = [codes async for codes in found]
        if parts:
            codes = Codes.concatenate(parts)
        else:
            about = await self.dictionary(dictionary)
            codes = Codes.empty(dictionary, about["m"], about["sha256"])
        return codes.with_inputs_shape(source.shape if isinstance(source, Rows) else None)

    def encode_parts(
        self, dictionary: str, inputs: AsyncInputs, *, progress: bool | None = None, **fields: Unpack[EncodeFields]
    ) -> AsyncGenerator[Codes, None]:
        """Codes of rows part by part, as `Client.encode_parts` gives them. Blocks may come from an asynchronous iterable."""
        source = inputs if isinstance(inputs, AsyncIterable) else source_of(inputs)
        return self._encode_parts(dictionary, source, Fields.given(fields), progress)

    def _encode_parts(
        self,
        dictionary: str,
        source: Rows | Iterable[Array] | AsyncIterable[Array],
        fields: Fields,
        progress: bool | None,
    ) -> AsyncGenerator[Codes, None]:
        job = EncodeJob(dictionary, source.count if isinstance(source, Rows) else None, fields, progress)
        return self._report(job, self._ordered(self._cut(source), lambda part: calls.encode(dictionary, part, fields)))

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

    async def decode(
        self,
        dictionary: str,
        codes: Codes | Any,
        *,
        inputs: Array | None = None,
        group: int | None = None,
        **options: Any,
    ) -> Floats:
        """Rows [n, d] of codes: `Codes`, or a scipy sparse matrix [n, m]; of a transcoder with a skip also `inputs`."""
        parts = _aiter(code_parts(codes, inputs, self._connection.limits.rows))
        given = calls.named({"group": group, **options})
        rows = [one async for one in self._ordered(parts, lambda part: calls.decode(dictionary, part, given))]
        if rows:
            return np.concatenate(rows)
        return np.zeros((0, (await self.dictionary(dictionary))["d_out"]), np.float32)

    async def steer(
        self,
        dictionary: str,
        inputs: Array,
        edits: Sequence[Edit] = (),
        *,
        set: str | None = None,
        rows: Sequence[int] | None = None,
        budget: Budgets | None = None,
        encoder: str | Mapping[str, Any] | None = None,
        include: Sequence[str] = (),
        timeout_ms: float | None = None,
        **options: Any,
    ) -> Steered:
        """Rows edited by their features, as `Client.steer` does."""
        given = {"set": set, "budget": budget, "encoder": encoder, "include": include}
        fields = Fields.given({**given, "timeout_ms": timeout_ms, **options})
        whole = rows_of(inputs)
        fields.check(whole.count)
        check_edits(edits, rows, whole.count)
        parts = self._ordered(self._cut(whole), lambda part: calls.steer(dictionary, part, fields, edits, rows))
        return Steered.joined([one async for one in parts], whole.width, bool(include))

    async def transfer(
        self,
        from_: str,
        to: str,
        inputs: Array,
        *,
        budget: Budgets | None = None,
        encoder: str | Mapping[str, Any] | None = None,
        timeout_ms: float | None = None,
        **options: Any,
    ) -> Transferred:
        """Rows of the first dictionary's space carried into the second's, as `Client.transfer` does."""
        fields = Fields.given({"budget": budget, "encoder": encoder, "timeout_ms": timeout_ms, **options})
        whole = rows_of(inputs)
        fields.check(whole.count)
        source, target = await self.dictionary(from_), await self.dictionary(to)
        parts = self._ordered(self._cut(whole), lambda part: calls.transfer(from_, to, part, fields, source["m"]))
        return Transferred.joined([one async for one in parts], source, target)

    async def contrast(
        self,
        dictionary: str,
        a: Array | Codes | Any,
        b: Array | Codes | Any,
        *,
        budget: Budget | None = None,
        encoder: str | Mapping[str, Any] | None = None,
        sort: str | None = None,
        limit: int | None = None,
        permutations: int | None = None,
        seed: int | None = None,
        timeout_ms: float | None = None,
        **options: Any,
    ) -> Contrast:
        """Features that tell two sets apart, best first (docs/contrast.md). A set is rows, `Codes` or a scipy sparse matrix.

        Both sets go into one request. `sort` is "jensen_shannon", "average_precision", "rate" or "mean".
        """
        given = {"budget": budget, "encoder": encoder, "sort": sort, "limit": limit, "permutations": permutations, "seed": seed}
        return await self._send(calls.contrast(dictionary, a, b, {**given, "timeout_ms": timeout_ms, **options}))

    # ── features and steering sets ──

    async def search_features(
        self, dictionary: str, query: str, *, limit: int | None = None, **options: Any
    ) -> list[FoundFeature]:
        """Features by their labels, the most relevant first. A word may be a beginning, or misspelt."""
        return await self._send(calls.search_features(dictionary, query, limit, options))

    async def get_feature(self, dictionary: str, index: int) -> Feature:
        """One feature: its label, norm and nearest atoms."""
        return await self._send(calls.get_feature(dictionary, index))

    async def list_steering_sets(self, dictionary: str) -> list[SteeringSet]:
        """All steering sets of a dictionary by name, without their edits."""
        sets: list[SteeringSet] = []
        after: str | None = None
        while True:
            page, after = await self._send(calls.list_steering_sets(dictionary, after))
            sets += page
            if after is None:
                return sets

    async def get_steering_set(self, dictionary: str, name: str) -> SteeringSet:
        """A steering set with its edits."""
        return await self._send(calls.get_steering_set(dictionary, name))

    async def put_steering_set(
        self,
        dictionary: str,
        name: str,
        edits: Sequence[Edit],
        *,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> SteeringSet:
        """Saves a steering set. `if_none_match="*"` makes it only where it is new, `if_match` replaces only that etag."""
        return await self._send(calls.put_steering_set(dictionary, name, edits, if_match, if_none_match))

    async def delete_steering_set(self, dictionary: str, name: str, *, if_match: str | None = None) -> None:
        """Deletes a steering set."""
        await self._send(calls.delete_steering_set(dictionary, name, if_match))

    # ── sending ──

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

    async def _send(self, call: Call[T]) -> T:
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
                    try:
                        return call.read(answer.content)
                    except (ValueError, KeyError, TypeError) as fault:
                        raise unanswerable(call, fault) from fault
                wait = attempts.after_answer(answer.status_code, answer.headers, answer.content, call.first_row)
            await asyncio.sleep(wait)

    async def _send_part(self, part: P, call_of: Callable[[P], Call[T]]) -> list[T]:
        """Sends a part, in halves where the server takes no more."""
        try:
            return [await self._send(call_of(part))]
        except InvalidRequest as error:
            self._connection.after_refusal(error, part)
        return [one for half in part.halves() for one in await self._send_part(half, call_of)]

    async def _ordered(self, parts: AsyncIterator[P], call_of: Callable[[P], Call[T]]) -> AsyncGenerator[T, None]:
        """Answers in the order of the parts, several of which are under way. Parts are made as there is room for them."""
        running: deque[asyncio.Task[list[T]]] = deque()
        more = True
        try:
            while True:
                while more and len(running) < self._connection.in_flight:
                    part = await anext(parts, None)
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


async def _aiter(parts: Iterable[P]) -> AsyncIterator[P]:
    for part in parts:
        yield part
