"""Safetensors in memory, with its metadata, which the format's own package reads from files only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U64": "<u8", "U32": "<u4", "U8": "u1"}
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}

Arrays = Mapping[str, npt.NDArray[Any]]


def read_tensors(content: bytes) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """Tensors and metadata. Raises ValueError where the bytes are cut off or not safetensors."""
    # One copy, in memory that may be written to: the arrays become the caller's.
    own = bytearray(content)
    try:
        start = 8 + int.from_bytes(own[:8], "little")
        header = json.loads(own[8:start])
        metadata = header.pop("__metadata__", {})
        arrays = {}
        for name, entry in header.items():
            dtype, (begin, end) = np.dtype(_DTYPES[entry["dtype"]]), entry["data_offsets"]
            count = (end - begin) // dtype.itemsize
            arrays[name] = np.frombuffer(own, dtype, count, start + begin).reshape(entry["shape"])
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise ValueError(f"These {len(own)} bytes are not whole safetensors ({fault}).") from None
    return arrays, metadata


def write_tensors(arrays: Arrays, metadata: Mapping[str, str]) -> bytes:
    """The way back. Wider elements come first, so that each array lies on a multiple of its element's size."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    parts: list[bytes] = []
    at = 0
    for name, array in sorted(arrays.items(), key=lambda item: -item[1].itemsize):
        data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        header[name] = {
            "dtype": _NAMES[array.dtype.newbyteorder("<")],
            "shape": list(array.shape),
            "data_offsets": [at, at + len(data)],
        }
        parts.append(data)
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])
