"""Every call as a request and a reader of its answer: shared by both clients, without any input or output of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgpack
import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, issparse

from .codes import Codes
from .rows import Array, RowPart, Rows, rows_of
from .types import Budgets, Contrast, Dictionary, Edit, Feature, FoundFeature, Steered, SteeringSet, Transferred

T = TypeVar("T")
Floats = npt.NDArray[np.float32]

BUDGET_PARTS = ("max_atoms", "tolerance", "residual_norm", "min_gain", "group")
# The server takes 16 KiB of URL and headers together.
_LONGEST_QUERY = 8000


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request, and how its answer's bytes are read."""

    method: str
    path: str
    read: Callable[[bytes], T]
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    #: Whether it may be sent again when the connection breaks off, and nobody knows whether the server has done it.
    repeatable: bool = True
    #: Number of its first row in the caller's rows.
    first_row: int = 0


def dictionary_path(dictionary: str) -> str:
    """Path of a dictionary's routes."""
    return f"/v1/dictionaries/{quote(dictionary, safe='')}"


def _json(content: bytes) -> Any:
    return json.loads(content)


def list_dictionaries() -> Call[list[Dictionary]]:
    """GET /v1/dictionaries"""
    return Call("GET", "/v1/dictionaries", lambda content: _json(content)["dictionaries"])


def get_dictionary(dictionary: str) -> Call[Dictionary]:
    """GET /v1/dictionaries/{id}"""
    return Call("GET", dictionary_path(dictionary), _json)


def search_features(dictionary: str, query: str, limit: int | None, options: Mapping[str, Any]) -> Call[list[FoundFeature]]:
    """GET /v1/dictionaries/{id}/features"""
    given = {"query": query, "limit": limit, **options}
    texts = {name: str(value) for name, value in given.items() if value is not None}
    return Call("GET", f"{dictionary_path(dictionary)}/features", lambda content: _json(content)["features"], texts)


def find_features(dictionary: str, row: Array, options: Mapping[str, Any]) -> Call[list[FoundFeature]]:
    """POST /v1/dictionaries/{id}/features/search"""
    one = rows_of(row, "row")
    if one.count != 1:
        raise ValueError(f"row holds {one.count} rows; features are sought for one.")
    part = RowPart(0, 1, one.width, one.dtype, one.read(0, 1))
    path = f"{dictionary_path(dictionary)}/features/search"
    return rows_call(path, part, Fields(named(options)), "application/json", lambda content: _json(content)["features"])


def get_feature(dictionary: str, index: int) -> Call[Feature]:
    """GET /v1/dictionaries/{id}/features/{index}"""
    return Call("GET", f"{dictionary_path(dictionary)}/features/{int(index)}", _json)


def list_steering_sets(dictionary: str, after: str | None) -> Call[tuple[list[SteeringSet], str | None]]:
    """GET /v1/dictionaries/{id}/steering: a page, and the name that the next one follows."""

    def read(content: bytes) -> tuple[list[SteeringSet], str | None]:
        page = _json(content)
        return page["sets"], page.get("next")

    query = {"limit": "1000", **({} if after is None else {"after": after})}
    return Call("GET", f"{dictionary_path(dictionary)}/steering", read, query)


def get_steering_set(dictionary: str, name: str) -> Call[SteeringSet]:
    """GET /v1/dictionaries/{id}/steering/{name}"""
    return Call("GET", _set_path(dictionary, name), _json)


def put_steering_set(
    dictionary: str, name: str, edits: Sequence[Edit], if_match: str | None, if_none_match: str | None
) -> Call[SteeringSet]:
    """PUT /v1/dictionaries/{id}/steering/{name}"""
    headers = {"content-type": "application/json", **_conditions(if_match, if_none_match)}
    body = json.dumps({"edits": plain(edits)}, allow_nan=False).encode()
    # Saving the same edits twice is saving them once; a condition holds the first time only.
    repeatable = if_match is None and if_none_match is None
    return Call("PUT", _set_path(dictionary, name), _json, {}, headers, body, repeatable)


def delete_steering_set(dictionary: str, name: str, if_match: str | None) -> Call[None]:
    """DELETE /v1/dictionaries/{id}/steering/{name}"""
    headers = _conditions(if_match, None)
    return Call("DELETE", _set_path(dictionary, name), _nothing, {}, headers, repeatable=False)


def load(dictionary: str) -> Call[None]:
    """POST /v2/repository/models/{id}/load"""
    return _repository(dictionary, "load")


def unload(dictionary: str) -> Call[None]:
    """POST /v2/repository/models/{id}/unload"""
    return _repository(dictionary, "unload")


def _repository(dictionary: str, verb: str) -> Call[None]:
    path = f"/v2/repository/models/{quote(dictionary, safe='')}/{verb}"
    return Call("POST", path, _nothing, {}, {"content-type": "application/json"}, b"{}", repeatable=False)


def _set_path(dictionary: str, name: str) -> str:
    return f"{dictionary_path(dictionary)}/steering/{quote(name, safe='')}"


def _conditions(if_match: str | None, if_none_match: str | None) -> dict[str, str]:
    given = {"if-match": if_match, "if-none-match": if_none_match}
    return {name: value for name, value in given.items() if value is not None}


def _nothing(_content: bytes) -> None:
    return None


@dataclass(frozen=True)
class Fields:
    """Fields of a request beside its rows. `budget` and `targets` are cut with the rows where they have one entry a row."""

    options: Mapping[str, Any]
    budget: Budgets | None = None
    targets: Rows | None = None

    @classmethod
    def given(cls, fields: Mapping[str, Any]) -> Fields:
        """Fields that were given a value. Parts of a budget may stand for themselves, as in a query."""
        others = {name: value for name, value in fields.items() if name not in ("budget", "targets")}
        budget, targets = fields.get("budget"), fields.get("targets")
        options = named(others)
        parts = {name: options.pop(name) for name in BUDGET_PARTS if name in options}
        if parts and budget is not None:
            raise ValueError(f"budget is given and also {', '.join(parts)}; give one or the other.")
        if isinstance(options.get("include"), str):
            raise TypeError(f'include is a list of names, such as ["{options["include"]}"].')
        if not options.get("include"):
            options.pop("include", None)
        return cls(options, parts or budget, None if targets is None else rows_of(targets, "targets"))

    def _lengths(self) -> dict[str, int | None]:
        one = self.budget is None or isinstance(self.budget, Mapping)
        return {
            "budget": None if one else len(self.budget),  # type: ignore[arg-type]
            "targets": None if self.targets is None else self.targets.count,
        }

    def check(self, count: int) -> None:
        """Raises ValueError where a list of budgets or targets is of another length than the rows."""
        for name, length in self._lengths().items():
            if length is not None and length != count:
                raise ValueError(f"{name} has {length} entries for {count} rows; give one for each row.")

    def of(self, part: RowPart) -> dict[str, Any]:
        """The fields of some rows, as a MessagePack body holds them."""
        stop = part.first + part.count
        fields = dict(self.options)
        for name, length in self._lengths().items():
            if length is not None and length < stop:
                raise ValueError(f"{name} has {length} entries, and there are more rows; give one for each row.")
        if self.budget is not None:
            one = isinstance(self.budget, Mapping)
            fields["budget"] = plain(self.budget if one else list(self.budget[part.first : stop]))  # type: ignore[index]
        if self.targets is not None:
            data = self.targets.read(part.first, stop)
            shape = [len(data) // self.targets.row_bytes, self.targets.width]
            fields["targets"] = {"data": data, "dtype": self.targets.dtype, "shape": shape}
        return fields


def rows_call(
    path: str, part: RowPart, fields: Fields, accept: str, read: Callable[[bytes], T], *, raw: bool = True
) -> Call[T]:
    """Posts rows: as bare bytes with the fields in the query where `raw` allows it and they fit, as MessagePack where not."""
    given = fields.of(part)
    call = Call("POST", path, read, first_row=part.first)
    query = _query_of(given) if raw else None
    if query is not None:
        about = {"dtype": part.dtype, "rows": str(part.count), **query}
        headers = {"content-type": "application/octet-stream", "accept": accept}
        return replace(call, query=about, headers=headers, body=part.data)
    inputs = {"data": part.data, "dtype": part.dtype, "shape": [part.count, part.width]}
    headers = {"content-type": "application/msgpack", "accept": accept}
    return replace(call, headers=headers, body=msgpack.packb({**given, "inputs": inputs}))


def _query_of(fields: Mapping[str, Any]) -> dict[str, str] | None:
    """Fields as a query has them; None where they do not fit there."""
    texts: dict[str, str] = {}
    for name, value in fields.items():
        if name == "include":
            texts[name] = ",".join(value)
        elif isinstance(value, str):
            texts[name] = value
        elif isinstance(value, int | float) and not isinstance(value, bool):
            texts[name] = repr(value)
        elif name == "budget":
            texts[name] = json.dumps(value)
        else:
            return None
    return texts if sum(map(len, texts.values())) < _LONGEST_QUERY else None


def encode(dictionary: str, part: RowPart, fields: Fields) -> Call[Codes]:
    """POST /v1/dictionaries/{id}/encode"""
    path = f"{dictionary_path(dictionary)}/encode"
    return rows_call(path, part, fields, "application/vnd.safetensors", Codes.from_safetensors)


def steer(dictionary: str, part: RowPart, fields: Fields, edits: Sequence[Edit], rows: Sequence[int] | None) -> Call[Steered]:
    """POST /v1/dictionaries/{id}/steer"""
    options: dict[str, Any] = {**fields.options, "edits": [_edit_of(edit, part) for edit in edits]}
    if rows is not None:
        options["rows"] = _rows_of(rows, part)
    effects = "include" in options
    path = f"{dictionary_path(dictionary)}/steer"
    accept = "application/json" if effects else "application/octet-stream"

    def read(content: bytes) -> Steered:
        if not effects:
            return Steered(_floats(content, part.count))
        answer = _json(content)
        return Steered(np.array(answer["outputs"], np.float32), answer["changes"])

    return rows_call(path, part, replace(fields, options=options), accept, read, raw=False)


def _edit_of(edit: Edit, part: RowPart) -> dict[str, Any]:
    """An edit whose rows are counted within a part. Its place in the list stays, since answers count by it."""
    own: dict[str, Any] = plain(edit)
    return {**own, "rows": _rows_of(own["rows"], part)} if own.get("rows") is not None else own


def _rows_of(rows: Iterable[int], part: RowPart) -> list[int]:
    return [row - part.first for row in rows if part.first <= row < part.first + part.count]


def contrast(dictionary: str, a: Array | Codes | Any, b: Array | Codes | Any, options: Mapping[str, Any]) -> Call[Contrast]:
    """POST /v1/dictionaries/{id}/contrast: as bare bytes where both sets are rows of one type, as MessagePack where not."""
    path = f"{dictionary_path(dictionary)}/contrast"
    given = named(options)
    query = _query_of(given)
    if query is not None and not isinstance(a, Codes) and not isinstance(b, Codes) and not issparse(a) and not issparse(b):
        first, second = rows_of(a, "a"), rows_of(b, "b")
        if (first.width, first.dtype) == (second.width, second.dtype) and first.count > 0 and second.count > 0:
            count = first.count + second.count
            query |= {"dtype": first.dtype, "rows": str(count), "rows_a": str(first.count)}
            data = first.read(0, first.count) + second.read(0, second.count)
            return Call("POST", path, _json, query, {"content-type": "application/octet-stream"}, data)
    body = msgpack.packb({**given, "a": _set_of(a, "a"), "b": _set_of(b, "b")})
    return Call("POST", path, _json, {}, {"content-type": "application/msgpack"}, body)


def _set_of(rows: Array | Codes | Any, name: str) -> dict[str, Any]:
    """A set as a body holds it: codes, a scipy sparse matrix of them, or rows."""
    if issparse(rows):
        rows = Codes.of_matrix(csr_array(rows))
    if isinstance(rows, Codes):
        return {"codes": _columns_of(rows)}
    whole = rows_of(rows, name)
    data = whole.read(0, whole.count)
    return {"inputs": {"data": data, "dtype": whole.dtype, "shape": [whole.count, whole.width]}}


def transfer(source: str, target: str, part: RowPart, fields: Fields, features: int) -> Call[Transferred]:
    """POST /v1/transfer"""

    def read(content: bytes) -> Transferred:
        answer = _json(content)
        codes = Codes.from_json(answer["from"], features)
        return Transferred(np.array(answer["outputs"], np.float32), codes, answer["to"])

    given = replace(fields, options={**fields.options, "from": source, "to": target})
    return rows_call("/v1/transfer", part, given, "application/json", read)


@dataclass(frozen=True)
class CodePart:
    """Codes of one decode request, and the rows beside them that a transcoder with a skip needs."""

    first: int
    codes: Codes
    inputs: Rows | None

    @property
    def count(self) -> int:
        """Rows."""
        return len(self.codes)

    def halves(self) -> tuple[CodePart, CodePart]:
        """The same codes in two parts; there must be two rows."""
        half = self.count // 2
        return (
            CodePart(self.first, self.codes[:half], self.inputs),
            CodePart(self.first + half, self.codes[half:], self.inputs),
        )


def code_parts(codes: Codes | Any, inputs: Array | None, most: int) -> Iterator[CodePart]:
    """Codes, or a scipy sparse matrix of them, in parts of at most so many rows."""
    if not isinstance(codes, Codes):
        if not issparse(codes):
            raise TypeError("codes are Codes or a scipy sparse matrix [n, m].")
        codes = Codes.of_matrix(csr_array(codes))
    rows = None if inputs is None else rows_of(inputs)
    if rows is not None and rows.count != len(codes):
        raise ValueError(f"inputs has {rows.count} rows for {len(codes)} codes; give the row of each code.")
    return (CodePart(first, codes[first : first + most], rows) for first in range(0, len(codes), most))


def decode(dictionary: str, part: CodePart, options: Mapping[str, Any]) -> Call[Floats]:
    """POST /v1/dictionaries/{id}/decode"""
    codes = part.codes
    columns = _columns_of(codes)
    if codes.norm_shift is not None and codes.norm_scale is not None:
        columns["norm"] = {"shift": _column(codes.norm_shift, "<f4"), "scale": _column(codes.norm_scale, "<f4")}
    body: dict[str, Any] = {**options, "codes": columns}
    if codes.sha256:
        body["sha256"] = codes.sha256
    if part.inputs is not None:
        data = part.inputs.read(part.first, part.first + part.count)
        body["inputs"] = {"data": data, "dtype": part.inputs.dtype, "shape": [part.count, part.inputs.width]}
    headers = {"content-type": "application/msgpack", "accept": "application/octet-stream"}
    path = f"{dictionary_path(dictionary)}/decode"
    read = lambda content: _floats(content, part.count)  # noqa: E731
    return Call("POST", path, read, {}, headers, msgpack.packb(body), first_row=part.first)


def _columns_of(codes: Codes) -> dict[str, Any]:
    return {
        "indptr": _column(codes.indptr, "<u4"),
        "indices": _column(codes.indices, "<u4"),
        "values": _column(codes.values, "<f4"),
    }


def _column(array: npt.NDArray[Any], dtype: str) -> dict[str, Any]:
    data = array.astype(dtype, copy=False).tobytes()
    return {"data": data, "dtype": np.dtype(dtype).name, "shape": [len(array)]}


def _floats(content: bytes, rows: int) -> Floats:
    return np.frombuffer(bytearray(content), "<f4").reshape(rows, -1)


def named(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that were given a value, as a body holds them."""
    return {name: plain(value) for name, value in fields.items() if value is not None}


def plain(value: Any) -> Any:
    """Numbers and lists in place of numpy's and torch's."""
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, str | bytes | int | float | bool) or value is None:
        return value.item() if isinstance(value, np.generic) else value
    if hasattr(value, "tolist"):
        return value.tolist()
    return [plain(one) for one in value]
