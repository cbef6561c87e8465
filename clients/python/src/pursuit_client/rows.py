"""Rows of the caller as little-endian bytes, in parts that one request can hold."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, cast, runtime_checkable

import numpy as np
import numpy.typing as npt


@runtime_checkable
class Tensor(Protocol):
    """As much of torch.Tensor as type checkers need to let one in."""

    def detach(self) -> Any: ...  # noqa: D102
    def cpu(self) -> Any: ...  # noqa: D102


Array: TypeAlias = "npt.ArrayLike | Tensor"
#: Rows [n, d] or [..., d], or an iterable of such blocks for rows that do not fit into memory.
Inputs: TypeAlias = "Array | Iterable[Array]"

_FLOATS = {2: "float16", 4: "float32", 8: "float64"}


@dataclass(frozen=True)
class Rows:
    """n rows of `width` numbers. They stay where they are until `read` copies some."""

    count: int
    width: int
    dtype: str
    shape: tuple[int, ...]
    _flat: Any

    @property
    def row_bytes(self) -> int:
        """Bytes of one row as it is sent."""
        return self.width * {"float64": 8, "float32": 4}.get(self.dtype, 2)

    def read(self, start: int, stop: int) -> bytes:
        """Bytes of rows start to stop: row-major, little-endian."""
        part = self._flat[start:stop]
        if not isinstance(part, np.ndarray):
            part = _tensor_part(part, self.dtype)
        elif self.dtype != "bfloat16":
            part = part.astype(np.dtype(self.dtype).newbyteorder("<"), copy=False)
        return bytes(part.tobytes())


def rows_of(inputs: Array, field: str = "inputs") -> Rows:
    """Rows of one array: [n, d], [..., d] flattened, or one row [d].

    float16, bfloat16, float32 and float64 are sent as they are, integers as float32. Raises TypeError or ValueError that
    names `field`.
    """
    if _is_tensor(inputs):
        flat: Any = inputs.detach()  # type: ignore[union-attr]
        dtype = str(flat.dtype).removeprefix("torch.")
        if flat.is_complex():
            raise TypeError(f"{field} is {dtype}; rows are real numbers.")
        dtype = dtype if dtype in ("float16", "bfloat16", "float32", "float64") else "float32"
    else:
        flat = np.asarray(inputs)
        dtype = _dtype_of(flat.dtype, field)
    if flat.ndim == 0:
        raise ValueError(f"{field} is a single number; give rows [n, d].")
    shape = tuple(int(size) for size in flat.shape)
    if flat.ndim != 2:
        count = int(np.prod(shape[:-1], dtype=np.int64))
        flat = flat.reshape(count, shape[-1])
    return Rows(int(flat.shape[0]), int(flat.shape[1]), dtype, shape, flat)


def source_of(inputs: Inputs) -> Rows | Iterable[Array]:
    """Rows of one array, or the blocks of a stream: of an iterable, or of a list of arrays."""
    if _is_stream(inputs):
        return cast("Iterable[Array]", inputs)
    return rows_of(cast("Array", inputs))


def _is_stream(inputs: Inputs) -> bool:
    if isinstance(inputs, Tensor) or hasattr(inputs, "__array__"):
        return False
    if isinstance(inputs, Sequence):
        first = inputs[0] if len(inputs) > 0 else None
        return _is_tensor(first) or (isinstance(first, np.ndarray) and first.ndim > 1)
    return isinstance(inputs, Iterable)


def _is_tensor(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _dtype_of(dtype: np.dtype[Any], field: str) -> str:
    if dtype.name == "bfloat16":  # ml_dtypes, as JAX makes them
        return "bfloat16"
    if dtype.kind == "f":
        return _FLOATS.get(dtype.itemsize, "float64")
    if dtype.kind in "biu":
        return "float32"
    raise TypeError(f"{field} is an array of {dtype}; rows are floats, all of one length.")


def _tensor_part(part: Any, dtype: str) -> Any:
    import torch

    part = part.to("cpu", getattr(torch, dtype)).contiguous()
    # numpy has no bfloat16: the same two bytes go out under another name.
    return (part.view(torch.int16) if dtype == "bfloat16" else part).numpy()


class Limits:
    """Size of a request. A server that takes less is learnt from its 413."""

    def __init__(self, rows: int, size: int) -> None:
        self.rows = rows
        self.size = size

    def most(self, row_bytes: int) -> int:
        """Rows of one request at most."""
        return max(1, min(self.rows, self.size // max(1, row_bytes)))


@dataclass(frozen=True)
class RowPart:
    """Rows of one request: `count` of them, the first being the caller's row `first`."""

    first: int
    count: int
    width: int
    dtype: str
    data: bytes

    def halves(self) -> tuple[RowPart, RowPart]:
        """The same rows in two parts; there must be two rows."""
        half = self.count // 2
        cut = half * (len(self.data) // self.count)
        return (
            RowPart(self.first, half, self.width, self.dtype, self.data[:cut]),
            RowPart(self.first + half, self.count - half, self.width, self.dtype, self.data[cut:]),
        )


class Cutter:
    """Cuts blocks of rows into parts, and joins short blocks to full ones. Holds one part at most."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._first = 0
        self._count = 0
        self._pieces: list[bytes] = []
        self._like: tuple[int, str] = (0, "")

    def cut(self, rows: Rows) -> Iterator[RowPart]:
        """Takes a block in and gives the parts that are full."""
        if self._like != (rows.width, rows.dtype):
            yield from self.rest()
            self._like = (rows.width, rows.dtype)
        at = 0
        while at < rows.count:
            room = self._limits.most(rows.row_bytes) - self._count
            if room > 0:
                stop = min(rows.count, at + room)
                self._pieces.append(rows.read(at, stop))
                self._count += stop - at
                at = stop
            if self._count >= self._limits.most(rows.row_bytes):
                yield from self.rest()

    def rest(self) -> Iterator[RowPart]:
        """The last part, where there is one."""
        if self._count == 0:
            return
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        part = RowPart(self._first, self._count, *self._like, data)
        self._first += self._count
        self._count = 0
        self._pieces = []
        yield part


def parts_of(inputs: Rows | Iterable[Array], limits: Limits) -> Iterator[RowPart]:
    """Parts of rows or of a stream of blocks, made one at a time as they are asked for."""
    cutter = Cutter(limits)
    for rows in [inputs] if isinstance(inputs, Rows) else map(rows_of, inputs):
        yield from cutter.cut(rows)
    yield from cutter.rest()
