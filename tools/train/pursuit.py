"""Matching pursuit over a batch, in PyTorch: selection without gradient, coefficients with it.

The official MP-SAE loop differentiates through full products with the dictionary at every step. The index that wins a
step has no gradient, so only the winner's own product matters: gathering the selected atoms and redoing the recursion
r <- r - (r . d) d gives the same gradient at a fraction of the cost. `python pursuit.py` checks that on a small case.
"""

from __future__ import annotations

import torch

Tensor = torch.Tensor


@torch.no_grad()
def select(rows: Tensor, atoms: Tensor, steps: int, gram: Tensor | None = None) -> Tensor:
    """Indices [n, steps] that relu matching pursuit selects, by updating correlations with rows of the Gram matrix."""
    gram = atoms @ atoms.T if gram is None else gram
    scores = rows @ atoms.T
    chosen = torch.empty(rows.shape[0], steps, dtype=torch.long)
    for step in range(steps):
        values, winners = scores.max(dim=1)
        chosen[:, step] = winners
        scores.addcmul_(gram[winners], values.clamp_min(0).unsqueeze(1), value=-1)
    return chosen


def residual_energies(rows: Tensor, atoms: Tensor, chosen: Tensor) -> Tensor:
    """||r||² after each step [n, steps], differentiable in the atoms. A score of 0 or less selects nothing (relu)."""
    residual = rows
    # atoms[chosen] would add its gradient from several threads at once, in another order each run; this adds it in one.
    picked = torch.nn.functional.embedding(chosen, atoms)
    energies = []
    for step in range(chosen.shape[1]):
        atom = picked[:, step]
        value = (residual * atom).sum(dim=1, keepdim=True).clamp_min(0)
        residual = residual - value * atom
        energies.append(residual.square().sum(dim=1))
    return torch.stack(energies, dim=1)


def _check() -> None:
    """Gradient of this form against autograd through the plain loop."""
    torch.manual_seed(0)
    rows = torch.randn(64, 32, dtype=torch.float64)
    atoms = torch.nn.functional.normalize(torch.randn(128, 32, dtype=torch.float64), dim=1)

    plain = atoms.clone().requires_grad_()
    residual = rows
    for _ in range(8):
        values, winners = torch.relu(residual @ plain.T).max(dim=1, keepdim=True)
        code = torch.zeros(64, 128, dtype=torch.float64).scatter(1, winners, values)
        residual = residual - code @ plain
    residual.square().sum(dim=1).mean().backward()

    gathered = atoms.clone().requires_grad_()
    residual_energies(rows, gathered, select(rows, atoms, 8))[:, -1].mean().backward()
    print(f"largest difference of the gradients: {(plain.grad - gathered.grad).abs().max():.1e}, largest gradient {plain.grad.abs().max():.1e}")


if __name__ == "__main__":
    _check()
