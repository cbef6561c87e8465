"""Explained variance against atoms, on held-out rows: matching pursuit, TopK, and PCA as the dense baseline."""

from __future__ import annotations

import numpy as np

from activations import Codes

BUDGETS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)


def explained_variance(rows: np.ndarray, left: np.ndarray) -> float:
    """1 - Σ||x - x̂||² / Σ||x - mean||², mean being the rows' own; `left` [n, d] is x - x̂."""
    return 1 - float((left**2).sum() / ((rows - rows.mean(axis=0)) ** 2).sum())


def prefix_errors(centred: np.ndarray, codes: Codes, atoms: np.ndarray) -> np.ndarray:
    """||x - x̂_k||² of every row after each of its k entries [n, k + 1], in the order of selection (TopK: of magnitude)."""
    n, k = codes.chosen.shape
    left = centred.astype(np.float64).copy()
    errors = np.empty((n, k + 1))
    errors[:, 0] = (left**2).sum(axis=1)
    for step in range(k):
        left -= codes.values[:, step, None] * atoms[codes.chosen[:, step]]
        errors[:, step + 1] = (left**2).sum(axis=1)
    return errors


def curve(rows: np.ndarray, errors: np.ndarray) -> list[float]:
    variance = float(((rows - rows.mean(axis=0)) ** 2).sum())
    return [1 - float(errors[:, budget].sum()) / variance for budget in BUDGETS]


def pca_curve(train: np.ndarray, rows: np.ndarray) -> list[float]:
    """The k directions of largest variance of the training rows, the same for every row."""
    center = train.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(train - center, rowvar=False))
    loads = ((rows - center) @ vectors[:, ::-1]) ** 2
    total = loads.sum(axis=1, keepdims=True)
    errors = np.concatenate([total, total - np.cumsum(loads, axis=1)], axis=1)
    return curve(rows, errors)


def unused(codes: Codes, budget: int) -> int:
    """Atoms that no held-out row selects within the budget."""
    chosen = codes.chosen[:, :budget][codes.values[:, :budget] > 0]
    return int((np.bincount(chosen, minlength=codes.m) == 0).sum())
