"""How well an atom's activation separates a concept: average precision, over every concept an atom could mean."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_matrix

# Fewer rows of a concept say nothing of an atom.
FEWEST_ROWS = 5


@dataclass(frozen=True)
class Match:
    concept: str
    score: float


class Half:
    """Rows with the concepts that each belongs to, and the activations [n, m] of a dictionary on them."""

    def __init__(self, activations: csc_matrix, concepts: list[frozenset[str]]) -> None:
        self.activations = activations
        self.concepts = concepts
        self.sizes: dict[str, int] = defaultdict(int)
        for row in concepts:
            for concept in row:
                self.sizes[concept] += 1

    def ranking(self, atom: int) -> np.ndarray:
        """Rows in which the atom is active, the most active first."""
        column = slice(self.activations.indptr[atom], self.activations.indptr[atom + 1])
        rows, values = self.activations.indices[column], self.activations.data[column]
        active = values > 0
        return rows[active][np.argsort(-values[active], kind="stable")]

    def average_precision(self, atom: int, concept: str) -> float:
        """Of ranking all rows by the atom. Rows in which it is silent are never retrieved: the sum over them is left out."""
        hits, total = 0, 0.0
        for rank, row in enumerate(self.ranking(atom), start=1):
            if concept in self.concepts[row]:
                hits += 1
                total += hits / rank
        return total / max(self.sizes.get(concept, 0), 1)

    def best(self, atom: int) -> Match | None:
        """The concept of highest average precision, ties to the smaller and then to the first by name."""
        hits: dict[str, int] = defaultdict(int)
        totals: dict[str, float] = defaultdict(float)
        for rank, row in enumerate(self.ranking(atom), start=1):
            for concept in self.concepts[row]:
                hits[concept] += 1
                totals[concept] += hits[concept] / rank
        scored = [(total / self.sizes[c], -self.sizes[c], c) for c, total in totals.items() if self.sizes[c] >= FEWEST_ROWS]
        if not scored:
            return None
        score, _, concept = min(scored, key=lambda one: (-one[0], -one[1], one[2]))
        return Match(concept, score)
