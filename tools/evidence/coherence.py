"""Mutual coherence and Babel function: over the whole dictionary, and over the atoms that one row selects together.

The Babel function (Tropp 2004, "Greed is good") at p is the largest sum of |cosine| between an atom and p others:
μ₁(p) = max_j max_{|S| = p, j ∉ S} Σ_{i ∈ S} |⟨d_i, d_j⟩|. The MP-SAE paper draws it for both sets of atoms: a dictionary may be
coherent while the atoms used together are nearly orthogonal.
"""

from __future__ import annotations

import numpy as np

from activations import Codes

ORDERS = tuple(range(1, 16))


def normalised(atoms: np.ndarray) -> np.ndarray:
    return atoms / np.linalg.norm(atoms, axis=1, keepdims=True)


def of_dictionary(atoms: np.ndarray) -> tuple[float, list[float]]:
    """(mutual coherence, Babel function at each of ORDERS)."""
    cosines = np.abs(normalised(atoms) @ normalised(atoms).T)
    np.fill_diagonal(cosines, 0)
    largest = -np.partition(-cosines, ORDERS[-1], axis=1)[:, : ORDERS[-1]]
    sums = np.cumsum(-np.sort(-largest, axis=1), axis=1).max(axis=0)
    return float(cosines.max()), [float(sums[p - 1]) for p in ORDERS]


def of_selections(atoms: np.ndarray, codes: Codes, budget: int) -> tuple[float, list[float]]:
    """Means over rows of the same figures, taken over the distinct atoms that each row selects."""
    unit = normalised(atoms)
    coherences, babel, counts = [], np.zeros(len(ORDERS)), np.zeros(len(ORDERS))
    for chosen, values in zip(codes.chosen[:, :budget], codes.values[:, :budget], strict=True):
        together = np.unique(chosen[values > 0])
        if len(together) < 2:
            continue
        cosines = np.abs(unit[together] @ unit[together].T)
        np.fill_diagonal(cosines, 0)
        coherences.append(cosines.max())
        sums = np.cumsum(-np.sort(-cosines, axis=1), axis=1).max(axis=0)[: len(together) - 1]
        known = min(len(sums), len(ORDERS))
        babel[:known] += sums[:known]
        counts[:known] += 1
    return float(np.mean(coherences)), [float(value) for value in babel / np.maximum(counts, 1)]
