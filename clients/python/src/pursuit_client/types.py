"""What the server takes and answers in JSON. Names are those of the HTTP interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

from .codes import Codes
from .rows import Array

#: `{"max_atoms", "tolerance", "residual_norm", "min_gain"}`, each optional; further parts are sent as they are.
Budget: TypeAlias = Mapping[str, Any]
#: One for all rows, or one a row.
Budgets: TypeAlias = "Budget | Sequence[Budget]"
#: `{"feature": 17, "op": "add", "value": 0.5}`; docs/steering.md lists the operations.
Edit: TypeAlias = Mapping[str, Any]


class EncodeFields(TypedDict, total=False):
    """Fields of an encode request beside its rows. The parts of a budget may stand for themselves."""

    budget: Budgets | None
    max_atoms: int | None
    tolerance: float | None
    residual_norm: float | None
    min_gain: float | None
    group: int | None
    encoder: str | Mapping[str, Any] | None
    targets: Array | None
    include: Sequence[str]
    correlations: int | None
    timeout_ms: float | None
    on_overload: str | None


class Dictionary(TypedDict, total=False):
    """A dictionary that the server knows, loaded or not."""

    id: str
    state: str
    kind: str
    role: str
    d: int
    d_in: int
    d_out: int
    m: int
    encoder: dict[str, Any]
    default_budget: dict[str, Any]
    max_atoms: int
    runtime: str
    path: str
    runtime_state: str
    sha256: str
    labels: bool
    coherence: dict[str, Any]
    warnings: list[str]
    faults: list[str]
    provenance: dict[str, Any]


class Neighbour(TypedDict, total=False):
    """An atom near another one, by cosine."""

    index: int
    cosine: float
    label: str
    label_source: str


class Feature(TypedDict, total=False):
    """One feature: its labels, norm, nearest atoms, and, where the dictionary has statistics, values and examples."""

    index: int
    label: str
    label_source: str
    score: float
    rate: float
    norm: float
    labels: list[dict[str, Any]]
    statistics: dict[str, Any]
    examples: list[dict[str, Any]]
    sample: list[dict[str, Any]]
    neighbours: list[Neighbour]
    fires_with: list[dict[str, Any]]
    classes: list[dict[str, Any]]


class FoundFeature(TypedDict, total=False):
    """A feature that a search found; the most relevant comes first."""

    index: int
    label: str
    label_source: str
    label_score: float
    norm: float
    rate: float
    mean: float
    max: float
    relevance: float
    cosine: float


class ContrastedFeature(TypedDict, total=False):
    """A feature that tells two sets apart; `set` is the one in which its mean is larger."""

    index: int
    label: str
    set: str
    jensen_shannon: float
    p_value: float
    average_precision: float
    rate: dict[str, float]
    mean: dict[str, float]


class Contrast(TypedDict, total=False):
    """How two sets of codes differ (docs/contrast.md)."""

    dictionary: str
    sha256: str
    encoder: dict[str, Any]
    a: dict[str, float]
    b: dict[str, float]
    features_in_both: int
    overlap: float | None
    chance: dict[str, Any]
    features: list[ContrastedFeature]


class SteeringSet(TypedDict, total=False):
    """A named set of edits. In a list, `edits` is their number."""

    name: str
    sha256: str
    stale: bool
    etag: str
    edits: Any
    bytes: int


@dataclass(frozen=True)
class Steered:
    """Edited rows [n, d]. `changes` has an entry a row where `include` asked for effects, and is None otherwise."""

    outputs: npt.NDArray[np.float32]
    changes: list[dict[str, Any]] | None = None

    @classmethod
    def joined(cls, parts: Sequence[Steered], width: int, effects: bool) -> Steered:
        """The answers to several requests as one."""
        outputs = np.concatenate([np.zeros((0, width), np.float32), *(part.outputs for part in parts)])
        return cls(outputs, [change for part in parts for change in part.changes or ()] if effects else None)


@dataclass(frozen=True)
class Transferred:
    """Rows [n, d] in the space of the second dictionary, and their codes in the first.

    `to` says which version decoded them, and under `input_norm` how outputs are normed.
    """

    outputs: npt.NDArray[np.float32]
    codes: Codes
    to: Mapping[str, Any]

    @classmethod
    def joined(cls, parts: Sequence[Transferred], source: Dictionary, target: Dictionary) -> Transferred:
        """The answers to several requests as one."""
        if not parts:
            outputs = np.zeros((0, target["d_out"]), np.float32)
            to = {"dictionary": target["id"], "sha256": target["sha256"]}
            return cls(outputs, Codes.empty(source["id"], source["m"], source["sha256"]), to)
        codes = Codes.concatenate([part.codes for part in parts])
        return cls(np.concatenate([part.outputs for part in parts]), codes, parts[0].to)
