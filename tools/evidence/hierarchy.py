"""Whether a pursuit selects the general before the particular, by WordNet's own hierarchy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from activations import Codes
from relations import Hierarchy

DEPTH_STEPS = (1, 2, 3, 4, 6, 8, 12, 16)


@dataclass(frozen=True)
class Order:
    """Pairs of labelled atoms in one row of which one label is a hypernym of the other."""

    pairs: int
    general_first: int

    @property
    def share(self) -> float:
        return self.general_first / max(self.pairs, 1)

    def interval(self) -> tuple[float, float]:
        """Wilson score interval, 95 %."""
        z, n, p = 1.96, max(self.pairs, 1), self.share
        middle, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def concepts_of(folder: Path, hierarchy: Hierarchy) -> dict[int, str]:
    """Atoms whose label is a synset's subtree; lexicographer files have no place in the hierarchy."""
    labels = json.loads((folder / "labels.json").read_text())
    return {int(atom): entry["concept"] for atom, entry in labels.items() if atom != "sha256" and entry.get("concept") in hierarchy.by_key}


def order_of(codes: Codes, concepts: dict[int, str], hierarchy: Hierarchy, budget: int, rng=None) -> Order:
    """Counted in the order of selection, or, with `rng`, in an order shuffled row by row."""
    pairs = general_first = 0
    for chosen, values in zip(codes.chosen[:, :budget], codes.values[:, :budget], strict=True):
        row = list(dict.fromkeys(int(atom) for atom, value in zip(chosen, values, strict=True) if value > 0 and int(atom) in concepts))
        if rng is not None:
            rng.shuffle(row)
        for i, earlier in enumerate(row):
            for later in row[i + 1 :]:
                first, second = concepts[earlier], concepts[later]
                if first == second:
                    continue
                if first in hierarchy.ancestors[second]:
                    pairs += 1
                    general_first += 1
                elif second in hierarchy.ancestors[first]:
                    pairs += 1
    return Order(pairs, general_first)


def depth_by_step(codes: Codes, concepts: dict[int, str], hierarchy: Hierarchy) -> list[tuple[int, float, int]]:
    """(step, mean depth of the labels selected at it, how many)."""
    found = []
    for step in DEPTH_STEPS:
        chosen = codes.chosen[:, step - 1][codes.values[:, step - 1] > 0]
        depths = [hierarchy.depth[concepts[int(atom)]] for atom in chosen if int(atom) in concepts]
        found.append((step, float(np.mean(depths)) if depths else float("nan"), len(depths)))
    return found
