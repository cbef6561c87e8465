"""Sparse codes of rows, as a scipy matrix with what the server says about each row."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, vstack

from .tensors import read_tensors, write_tensors

if TYPE_CHECKING:
    import polars
    import torch

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[Any]


@dataclass(frozen=True)
class Trace:
    """Every selection of every row, in order: row i's are entries `indptr[i]` to `indptr[i + 1]`.

    `residual_norms` is ‖r‖ after each selection; None where the server has nothing to measure against.
    """

    indptr: Integers
    indices: Integers
    values: Floats
    residual_norms: Floats | None = None

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, key: int | slice | npt.ArrayLike) -> Trace:
        return self.take(_row_numbers(key, len(self)))

    def take(self, rows: Integers) -> Trace:
        """Selections of the rows with these numbers."""
        indptr, entries = _entries(self.indptr, rows)
        norms = self.residual_norms
        return Trace(indptr, self.indices[entries], self.values[entries], None if norms is None else norms[entries])


@dataclass(frozen=True, eq=False, repr=False)
class Codes:
    """Codes of n rows over m features.

    `csr` is a `scipy.sparse.csr_array` [n, m] of float32. The other columns have one entry a row. They are None where the
    answer has none: errors of a transcoder without targets, and what `include` did not ask for.
    """

    csr: csr_array
    #: Selections made [n].
    steps: Integers
    stop_codes: Integers
    stop_names: tuple[str, ...]
    #: ‖r‖ [n], and ‖r‖ / ‖x − b‖ [n].
    residual_norm: Floats | None = None
    relative_error: Floats | None = None
    #: What an input norm subtracted and divided by [n]; decode undoes it.
    norm_shift: Floats | None = None
    norm_scale: Floats | None = None
    trace: Trace | None = None
    #: x̂ [n, d].
    reconstruction: Floats | None = None
    #: The largest numbers of D·(x − b) of each row, equally many a row, as a `csr_array` [n, m]: the query of a search.
    correlations: csr_array | None = None
    #: Texts of the features, one for each of `indices`; None for a feature without one.
    labels: npt.NDArray[np.object_] | None = None
    dictionary: str = ""
    #: Version of the dictionary.
    sha256: str = ""
    #: The pursuit that made them; None where the dictionary's own encoder did.
    encoder: Mapping[str, Any] | None = None
    #: The server's warning of rows that are unlike the dictionary's held-out rows; None where there is none.
    warning: str | None = None
    #: Shape of the rows as they were passed, where it was not [n, d].
    inputs_shape: tuple[int, ...] | None = None
    #: 1 − Σ‖x − x̂‖² / Σ‖x − mean‖² over the rows of one request; None where rows were sent in several.
    explained_variance: float | None = None
    #: Further columns [n] of the answer, by name.
    extra: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m)"""
        rows, features = self.csr.shape
        return int(rows), int(features)

    @property
    def indptr(self) -> Integers:
        """Row i's entries are `indptr[i]` to `indptr[i + 1]`."""
        return cast(Integers, self.csr.indptr)

    @property
    def indices(self) -> Integers:
        """Features of all entries, ascending within a row."""
        return cast(Integers, self.csr.indices)

    @property
    def values(self) -> Floats:
        """Values of all entries."""
        return cast(Floats, self.csr.data)

    @property
    def atoms(self) -> Integers:
        """Distinct atoms of each row [n]."""
        return np.diff(self.indptr)

    @property
    def mean_atoms(self) -> float:
        """Atoms of a row on average; 0 without rows."""
        return float(self.csr.nnz / max(1, len(self)))

    @property
    def stop(self) -> npt.NDArray[np.str_]:
        """Why each row ended [n], such as "max_atoms" or "tolerance"."""
        return np.asarray(self.stop_names, dtype=np.str_)[self.stop_codes]

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Codes]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, key: int | slice | npt.ArrayLike) -> Codes:
        """Codes of some rows: one, a slice, a list of numbers or a mask."""
        rows = _row_numbers(key, len(self))
        indptr, entries = _entries(self.indptr, rows)
        taken: dict[str, Any] = {name: column[rows] for name, column in self._row_columns().items()}
        return replace(
            self,
            csr=csr_array((self.values[entries], self.indices[entries], indptr), shape=(len(rows), self.shape[1])),
            trace=None if self.trace is None else self.trace.take(rows),
            labels=None if self.labels is None else self.labels[entries],
            correlations=None if self.correlations is None else csr_array(self.correlations[rows]),
            inputs_shape=None,
            explained_variance=None,
            extra={name: column[rows] for name, column in self.extra.items()},
            **taken,
        )

    def _row_columns(self) -> dict[str, npt.NDArray[Any]]:
        names = ("steps", "stop_codes", *_OPTIONAL_COLUMNS)
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def __repr__(self) -> str:
        rows, features = self.shape
        return f"<Codes of {rows} rows over {features} features of {self.dictionary}, {self.mean_atoms:.4g} atoms a row>"

    def toarray(self) -> Floats:
        """Dense codes [n, m]."""
        return np.asarray(self.csr.toarray(), np.float32)

    def to_torch_sparse(self, device: Any = None) -> torch.Tensor:
        """A `torch.sparse_csr_tensor` [n, m] of float32, on `device`."""
        import torch

        pointers, columns = (torch.from_numpy(part.astype(np.int64)) for part in (self.indptr, self.indices))
        values = torch.from_numpy(np.ascontiguousarray(self.values))
        return torch.sparse_csr_tensor(pointers, columns, values, self.shape, device=device, check_invariants=True)

    def to_polars(self) -> polars.DataFrame:
        """A frame of one line an entry: row, feature, value, and label where there are labels."""
        import polars

        columns = {
            "row": np.repeat(np.arange(len(self)), self.atoms),
            "feature": self.indices,
            "value": self.values,
        }
        frame = polars.DataFrame(columns)
        if self.labels is not None:
            frame = frame.with_columns(polars.Series("label", self.labels.tolist(), dtype=polars.String))
        return frame

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a safetensors file, laid out as the server's answer; `Codes.load` reads it."""
        arrays: dict[str, npt.NDArray[Any]] = {"indptr": self.indptr.astype("<u4" if self.indptr[-1] < 2**32 else "<i8")}
        arrays |= {"indices": self.indices.astype("<u4"), "values": self.values}
        arrays |= {_TENSORS.get(name, name): column for name, column in self._row_columns().items()}
        if self.trace is not None:
            columns = {f.name: getattr(self.trace, f.name) for f in fields(Trace)}
            arrays |= {f"trace_{name}": column for name, column in columns.items() if column is not None}
        if self.correlations is not None:
            shape = (len(self), self.correlations.nnz // max(1, len(self)))
            arrays["correlations_indices"] = self.correlations.indices.astype("<u4").reshape(shape)
            arrays["correlations_values"] = self.correlations.data.astype("<f4").reshape(shape)
        about = {
            "dictionary": self.dictionary,
            "sha256": self.sha256,
            "shape": json.dumps(self.shape),
            "stop_names": json.dumps(self.stop_names),
            "explained_variance": json.dumps(self.explained_variance),
        }
        if self.encoder is not None:
            about["encoder"] = json.dumps(self.encoder)
        if self.warning is not None:
            about["warning"] = self.warning
        if self.inputs_shape is not None:
            about["inputs_shape"] = json.dumps(self.inputs_shape)
        if self.labels is not None:
            about["labels"] = json.dumps(self.labels.tolist())
        Path(path).write_bytes(write_tensors({**arrays, **self.extra}, about))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Codes:
        """Reads a file that `save` wrote, or a safetensors answer of the server. Raises ValueError where it is neither."""
        return cls.from_safetensors(Path(path).read_bytes())

    @classmethod
    def from_safetensors(cls, content: bytes) -> Codes:
        """Codes of a safetensors answer."""
        tensors, about = read_tensors(content)
        try:
            shape = tuple(json.loads(about["shape"]))
            indptr, indices, values = (tensors.pop(name) for name in ("indptr", "indices", "values"))
            trace = {name.removeprefix("trace_"): tensors.pop(name) for name in _TRACE_TENSORS if name in tensors}
            columns = {name: tensors.pop(_TENSORS.get(name, name), None) for name in _OPTIONAL_COLUMNS}
            numbers, scores = (tensors.pop(name, None) for name in ("correlations_indices", "correlations_values"))
            labels = json.loads(about.get("labels", "null"))
            return cls(
                csr=csr_array((values, _index(indices), _index(indptr)), shape=shape),
                steps=tensors.pop("steps"),
                stop_codes=tensors.pop("stop"),
                stop_names=tuple(json.loads(about["stop_names"])),
                trace=Trace(_index(trace["indptr"]), _index(trace["indices"]), trace["values"], trace.get("residual_norms"))
                if trace
                else None,
                correlations=None if numbers is None or scores is None else _correlations(numbers, scores, shape[1]),
                labels=None if labels is None else np.array(labels, dtype=np.object_),
                dictionary=about["dictionary"],
                sha256=about["sha256"],
                encoder=json.loads(about.get("encoder", "null")),
                warning=about.get("warning"),
                inputs_shape=tuple(json.loads(about["inputs_shape"])) if "inputs_shape" in about else None,
                explained_variance=json.loads(about.get("explained_variance", "null")),
                extra={name: column for name, column in tensors.items() if column.shape[:1] == shape[:1]},
                **columns,
            )
        except KeyError as missing:
            raise ValueError(f"These safetensors are no codes of Pursuit: {missing} is missing.") from None

    @classmethod
    def from_json(cls, answer: Mapping[str, Any], features: int) -> Codes:
        """Codes of a JSON answer in format sparse, over this many features."""
        codes: Sequence[Mapping[str, Any]] = answer["codes"]
        names = tuple(dict.fromkeys(code["stop"] for code in codes)) or ("max_atoms",)
        lengths = [len(code["indices"]) for code in codes]
        values = np.array([value for code in codes for value in code["values"]], np.float32)
        indices = np.array([index for code in codes for index in code["indices"]], np.int32)
        indptr = np.concatenate([[0], np.cumsum(lengths, dtype=np.int32)]).astype(np.int32)

        def column(name: str) -> Floats | None:
            present = len(codes) > 0 and name in codes[0]
            return np.array([code[name] for code in codes], np.float32) if present else None

        norms = [code["norm"] for code in codes if "norm" in code]
        correlated = [code["correlations"] for code in codes if "correlations" in code]
        numbers = np.array([one["indices"] for one in correlated], np.uint32)
        scores = np.array([one["values"] for one in correlated], np.float32)
        return cls(
            csr=csr_array((values, indices, indptr), shape=(len(codes), features)),
            steps=np.array([code["steps"] for code in codes], np.uint32),
            stop_codes=np.array([names.index(code["stop"]) for code in codes], np.uint8),
            stop_names=names,
            residual_norm=column("residual_norm"),
            relative_error=column("relative_error"),
            norm_shift=np.array([norm["shift"] for norm in norms], np.float32) if norms else None,
            norm_scale=np.array([norm["scale"] for norm in norms], np.float32) if norms else None,
            correlations=_correlations(numbers, scores, features) if correlated else None,
            dictionary=answer["dictionary"],
            sha256=answer["sha256"],
            encoder=answer.get("encoder"),
            warning=answer.get("warning"),
        )

    @classmethod
    def of_matrix(cls, matrix: csr_array) -> Codes:
        """Codes of a scipy matrix [n, m], about whose rows nothing is known."""
        rows = matrix.shape[0]
        return cls(
            csr=matrix,
            steps=np.diff(matrix.indptr),
            stop_codes=np.zeros(rows, np.uint8),
            stop_names=("max_atoms",),
        )

    def with_inputs_shape(self, shape: tuple[int, ...] | None) -> Codes:
        """The same codes, of rows that came in this shape."""
        return self if shape is None or len(shape) == 2 else replace(self, inputs_shape=shape)

    @classmethod
    def empty(cls, dictionary: str, features: int, sha256: str = "") -> Codes:
        """Codes of no rows."""
        none = np.zeros(0, np.float32)
        return cls(
            csr=csr_array((0, features), dtype=np.float32),
            steps=np.zeros(0, np.uint32),
            stop_codes=np.zeros(0, np.uint8),
            stop_names=("max_atoms",),
            residual_norm=none,
            relative_error=none,
            dictionary=dictionary,
            sha256=sha256,
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Codes]) -> Codes:
        """The rows of several codes of one dictionary, one after the other. A column that a part lacks is left out."""
        first = parts[0]
        if len(parts) == 1:
            return first
        names = tuple(dict.fromkeys(name for part in parts for name in part.stop_names))

        def joined(column: Any) -> Any:
            columns = [column(part) for part in parts]
            return None if any(one is None for one in columns) else np.concatenate(columns)

        def stops(part: Codes) -> npt.NDArray[np.uint8]:
            positions = np.array([names.index(name) for name in part.stop_names], np.uint8)
            return positions[part.stop_codes]

        def of_trace(name: str) -> Any:
            return joined(lambda part: getattr(part.trace, name))

        traced = all(part.trace is not None for part in parts)
        shared = set.intersection(*(set(part.extra) for part in parts))
        indptr = _join_pointers([part.indptr for part in parts])
        indices = joined(lambda part: part.indices).astype(indptr.dtype, copy=False)
        return cls(
            csr=csr_array((joined(lambda part: part.values), indices, indptr), shape=(len(indptr) - 1, first.shape[1])),
            steps=joined(lambda part: part.steps),
            stop_codes=joined(stops),
            stop_names=names,
            trace=Trace(
                _join_pointers([part.trace.indptr for part in parts if part.trace is not None]),
                of_trace("indices"),
                of_trace("values"),
                of_trace("residual_norms"),
            )
            if traced
            else None,
            correlations=_stacked([part.correlations for part in parts]),
            labels=joined(lambda part: part.labels),
            dictionary=first.dictionary,
            sha256=first.sha256,
            encoder=first.encoder,
            warning=next((part.warning for part in parts if part.warning is not None), None),
            extra={name: joined(lambda part, name=name: part.extra[name]) for name in shared},
            **{name: joined(lambda part, name=name: getattr(part, name)) for name in _OPTIONAL_COLUMNS},
        )


_OPTIONAL_COLUMNS = ("residual_norm", "relative_error", "norm_shift", "norm_scale", "reconstruction")
_TENSORS = {"stop_codes": "stop"}
_TRACE_TENSORS = ("trace_indptr", "trace_indices", "trace_values", "trace_residual_norms")


def _correlations(indices: Integers, values: Floats, features: int) -> csr_array:
    """Equally many entries a row, [n, k], as a matrix [n, features]."""
    rows, most = indices.shape
    parts = (values.reshape(-1), _index(indices.reshape(-1)), np.arange(rows + 1) * most)
    return csr_array(parts, shape=(rows, features))


def _stacked(parts: Sequence[csr_array | None]) -> csr_array | None:
    present = [part for part in parts if part is not None]
    return csr_array(vstack(present, format="csr")) if len(present) == len(parts) else None


def _index(column: npt.NDArray[Any]) -> Integers:
    """Indices as scipy keeps them. uint32 below 2**31 has the same bytes as int32."""
    small = column.dtype == np.uint32 and (len(column) == 0 or int(column.max()) < 2**31)
    return column.view(np.int32) if small else column.astype(np.int64)


def _row_numbers(key: int | slice | npt.ArrayLike, count: int) -> Integers:
    if isinstance(key, slice):
        return np.arange(count)[key]
    rows = np.asarray(key)
    if rows.size == 0:
        return np.zeros(0, np.int64)
    if rows.dtype.kind not in "iub" or rows.ndim > 1:
        raise TypeError("Rows are chosen by a number, a slice, a list of numbers or a mask.")
    # numpy checks the numbers; one number is one row.
    return np.atleast_1d(np.arange(count)[rows])


def _entries(indptr: Integers, rows: Integers) -> tuple[Integers, Integers]:
    """Pointers of the rows alone, and the positions of their entries."""
    lengths = np.diff(indptr)[rows]
    pointers = np.concatenate([[0], np.cumsum(lengths)]).astype(indptr.dtype)
    return pointers, np.repeat(indptr[rows] - pointers[:-1], lengths) + np.arange(pointers[-1])


def _join_pointers(pointers: Sequence[Integers]) -> Integers:
    lengths = np.concatenate([np.diff(part) for part in pointers]).astype(np.int64)
    joined = np.concatenate([[0], np.cumsum(lengths)])
    return joined if joined[-1] >= 2**31 else joined.astype(np.int32)
