"""What a budget buys: error against mean atoms for max_atoms, tolerance and min_gain, from one deep pursuit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TOLERANCES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
GAINS = (0.1, 0.05, 0.03, 0.02, 0.01, 0.006, 0.004, 0.002)
FIXED = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)


@dataclass(frozen=True)
class Outcome:
    """Of one setting over all rows. Errors are relative: ||r|| / ||x - b||."""

    setting: float
    atoms: float
    unexplained: float
    """Σ||r||² / Σ||x - b||²"""
    mean_error: float
    tail_error: float
    """95th percentile."""


def outcome(setting: float, errors: np.ndarray, steps: np.ndarray) -> Outcome:
    """@param errors [n, K + 1] ||r||² after each selection. @param steps [n] selections of each row."""
    left = errors[np.arange(len(errors)), steps]
    relative = np.sqrt(left / errors[:, 0])
    return Outcome(setting, float(steps.mean()), float(left.sum() / errors[:, 0].sum()), float(relative.mean()), float(np.quantile(relative, 0.95)))


def first_true(conditions: np.ndarray) -> np.ndarray:
    """Position of the first true in each row [n]; the last position where there is none."""
    found = conditions.argmax(axis=1)
    return np.where(conditions.any(axis=1), found, conditions.shape[1] - 1)


def by_max_atoms(errors: np.ndarray) -> list[Outcome]:
    return [outcome(k, errors, np.full(len(errors), k)) for k in FIXED]


def by_tolerance(errors: np.ndarray) -> list[Outcome]:
    relative = np.sqrt(errors / errors[:, :1])
    return [outcome(t, errors, first_true(relative <= t)) for t in TOLERANCES]


def by_min_gain(errors: np.ndarray) -> list[Outcome]:
    """Stops before the first selection that would lower ||r||² by less than the share."""
    gains = (errors[:, :-1] - errors[:, 1:]) / errors[:, :1]
    padded = np.concatenate([gains, np.zeros((len(errors), 1))], axis=1)
    return [outcome(g, errors, first_true(padded < g)) for g in GAINS]


def fixed_at(outcomes: list[Outcome], atoms: float, figure: str) -> float:
    """A figure of max_atoms at that mean number of atoms, between the budgets measured, linearly."""
    return float(np.interp(atoms, [one.atoms for one in outcomes], [getattr(one, figure) for one in outcomes]))
