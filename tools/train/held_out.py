"""The held-out table: explained variance and distinct atoms at every budget, for each kind of encoder.

Explained variance is 1 - Σ||x - x̂||² / Σ||x - mean||² over the held-out synsets, mean being theirs; `atoms` is the mean
number of distinct atoms of a row.
"""

from __future__ import annotations

import torch

from pursuit import residual_energies, select
from topk import TopK, decode, keep_largest, pre_activations

BUDGETS = (1, 2, 4, 8, 16, 32, 64)
ROWS_AT_ONCE = 1024

Tensor = torch.Tensor


@torch.no_grad()
def pursuit_table(centred: Tensor, atoms: Tensor, budgets: tuple[int, ...]) -> list[dict]:
    """Of centred rows [n, d]. From one pursuit of the largest budget: the first k selections are the pursuit of budget k."""
    deepest = max(budgets)
    gram = atoms @ atoms.T
    energy = torch.zeros(deepest, dtype=torch.float64)
    distinct = dict.fromkeys(budgets, 0)
    used = torch.zeros(atoms.shape[0], dtype=torch.long)
    for batch in centred.split(ROWS_AT_ONCE):
        chosen = select(batch, atoms, deepest, gram)
        energy += residual_energies(batch, atoms, chosen).double().sum(dim=0)
        for k in budgets:
            ordered = chosen[:, :k].sort(dim=1).values
            distinct[k] += int((ordered[:, 1:] != ordered[:, :-1]).sum()) + ordered.shape[0]
        used += torch.bincount(chosen[:, :16].flatten(), minlength=atoms.shape[0])
    return table(centred, {k: float(energy[k - 1]) for k in budgets}, distinct, used)


@torch.no_grad()
def topk_table(rows: Tensor, coder: TopK, budgets: tuple[int, ...]) -> list[dict]:
    """Of rows [n, d] as they are posted. A budget keeps that many of the largest activations, also past the trained k."""
    energy = dict.fromkeys(budgets, 0.0)
    distinct = dict.fromkeys(budgets, 0)
    used = torch.zeros(coder.atoms.shape[0], dtype=torch.long)
    for batch in rows.split(ROWS_AT_ONCE):
        values, indices = keep_largest(pre_activations(batch, coder), max(budgets))
        for k in budgets:
            energy[k] += float((batch - decode(values[:, :k], indices[:, :k], coder)).square().sum(dtype=torch.float64))
            distinct[k] += int((values[:, :k] > 0).sum())
        used += torch.bincount(indices[:, :16][values[:, :16] > 0], minlength=len(used))
    return table(rows, energy, distinct, used)


def table(rows: Tensor, energy: dict[int, float], distinct: dict[int, int], used: Tensor) -> list[dict]:
    """From sums over the rows: squared errors and distinct atoms by budget, and how often budget 16 used each atom [m]."""
    variance = float((rows - rows.mean(dim=0)).square().sum())
    count = rows.shape[0]
    lines = [
        {"max_atoms": k, "explained_variance": round(1 - energy[k] / variance, 4), "atoms": round(distinct[k] / count, 2)}
        for k in energy
    ]
    return [*lines, {"rows": count, "unused_atoms_at_16": int((used == 0).sum())}]
