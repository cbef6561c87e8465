"""The client for programs in asyncio.

`client.py` is made from this file: run `python tools/make_client.py`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import calls
from .async_transport import AsyncInputs, AsyncTransport, source_of
from .calls import Fields, code_parts
from .codes import Codes
from .connection import Connection, check_edits
from .rows import Array, Rows, parts_of, rows_of
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

Floats = npt.NDArray[np.float32]


class AsyncClient:
    """Calls a Pursuit server within asyncio. Its methods are those of `Client`, awaited.

    `deadline` is in seconds, for each request with its retries: a refusal (429, 503) is waited out as the server asks, and a
    connection that fails is made again. Rows are sent in requests of `rows_per_request`, `in_flight` of them at a time.
    `verify` is httpx's, for a certificate authority of your own.
    """

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
        self._transport = AsyncTransport(self._connection, verify)

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
        await self._transport.aclose()

    # ── dictionaries ──

    async def dictionaries(self) -> list[Dictionary]:
        """All dictionaries, broken ones included."""
        return await self._transport.send(calls.list_dictionaries())

    async def dictionary(self, dictionary: str) -> Dictionary:
        """One dictionary: its sizes, encoder, version and state."""
        return await self._transport.send(calls.get_dictionary(dictionary))

    async def load(self, dictionary: str) -> None:
        """Loads a dictionary from its folder, or replaces it by what the folder holds now. Needs an admin key."""
        await self._transport.send(calls.load(dictionary))

    async def unload(self, dictionary: str) -> None:
        """Unloads a dictionary once all it has accepted is answered. Needs an admin key."""
        await self._transport.send(calls.unload(dictionary))

    # ── rows and codes ──

    async def encode(
        self, dictionary: str, inputs: AsyncInputs, *, progress: bool | None = None, **fields: Unpack[EncodeFields]
    ) -> Codes:
        """Codes of any number of rows, in order. Takes the arguments of `encode_parts`."""
        source = source_of(inputs)
        found = self._transport.encode(dictionary, source, Fields.given(fields), progress)
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
        """Codes of rows part by part, in order, with `in_flight` parts in memory at most.

        `inputs`: rows [n, d] or [..., d] of numpy or torch, or an iterable of such blocks, asynchronous or not.
        `budget`: one for all rows or one a row; its parts (`max_atoms`, `tolerance` and so on) may be given by their own names
        instead. `include`: a list of "trace", "labels", "reconstruction" and what else the server knows. `encoder`, `targets`,
        `timeout_ms` and `on_overload` are those of the HTTP request, and further fields are sent as they are. `progress` shows
        a bar; None shows it on a terminal.
        """
        return self._transport.encode(dictionary, source_of(inputs), Fields.given(fields), progress)

    async def decode(
        self,
        dictionary: str,
        codes: Codes | Any,
        *,
        inputs: Array | None = None,
        group: int | None = None,
        **options: Any,
    ) -> Floats:
        """Rows [n, d] of codes: `Codes`, or a scipy sparse matrix [n, m].

        `inputs` are the rows that were encoded, which a transcoder with a skip needs. `group` takes the first atoms only, of a
        dictionary with nested widths.
        """
        parts = code_parts(codes, inputs, self._connection.limits.rows)
        given = calls.named({"group": group, **options})
        rows = [one async for one in self._transport.ordered(parts, lambda part: calls.decode(dictionary, part, given))]
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
        """Rows edited by their features (docs/steering.md). `include=["effect"]` says what each edit did.

        `set` names a saved set, whose edits come first. `rows` are those that edits without rows of their own apply to.
        """
        given = {"set": set, "budget": budget, "encoder": encoder, "include": include}
        fields = Fields.given({**given, "timeout_ms": timeout_ms, **options})
        whole = rows_of(inputs)
        fields.check(whole.count)
        check_edits(edits, rows, whole.count)
        parts = self._transport.ordered(
            parts_of(whole, self._connection.limits), lambda part: calls.steer(dictionary, part, fields, edits, rows)
        )
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
        """Rows of the first dictionary's space carried into the second's (docs/transfer.md)."""
        fields = Fields.given({"budget": budget, "encoder": encoder, "timeout_ms": timeout_ms, **options})
        whole = rows_of(inputs)
        fields.check(whole.count)
        source, target = await self.dictionary(from_), await self.dictionary(to)
        parts = self._transport.ordered(
            parts_of(whole, self._connection.limits), lambda part: calls.transfer(from_, to, part, fields, source["m"])
        )
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
        return await self._transport.send(calls.contrast(dictionary, a, b, {**given, "timeout_ms": timeout_ms, **options}))

    # ── features and steering sets ──

    async def search_features(
        self, dictionary: str, query: str, *, limit: int | None = None, **options: Any
    ) -> list[FoundFeature]:
        """Features by their labels, the most relevant first. A word may be a beginning, or misspelt."""
        return await self._transport.send(calls.search_features(dictionary, query, limit, options))

    async def find_features(self, dictionary: str, row: Array, *, n: int | None = None, **options: Any) -> list[FoundFeature]:
        """Features whose atoms are nearest to one row [d_out], by cosine with the row less the dictionary's centre."""
        return await self._transport.send(calls.find_features(dictionary, row, {"n": n, **options}))

    async def get_feature(self, dictionary: str, index: int) -> Feature:
        """One feature: its label, norm and nearest atoms."""
        return await self._transport.send(calls.get_feature(dictionary, index))

    async def list_steering_sets(self, dictionary: str) -> list[SteeringSet]:
        """All steering sets of a dictionary by name, without their edits."""
        sets: list[SteeringSet] = []
        after: str | None = None
        while True:
            page, after = await self._transport.send(calls.list_steering_sets(dictionary, after))
            sets += page
            if after is None:
                return sets

    async def get_steering_set(self, dictionary: str, name: str) -> SteeringSet:
        """A steering set with its edits."""
        return await self._transport.send(calls.get_steering_set(dictionary, name))

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
        return await self._transport.send(calls.put_steering_set(dictionary, name, edits, if_match, if_none_match))

    async def delete_steering_set(self, dictionary: str, name: str, *, if_match: str | None = None) -> None:
        """Deletes a steering set."""
        await self._transport.send(calls.delete_steering_set(dictionary, name, if_match))
