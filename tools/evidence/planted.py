"""A planted tree of concepts: do the encoders find parents and children, or only what occurs together?

Synthetic, as in the MP-SAE paper's toy: each of P parents has C children with directions of their own. A row holds two
parents; a parent that is active brings one of its children with probability 3/4. So a child never occurs without its
parent: an encoder that sees the whole row at once is drawn to merge the two into one atom (absorption), while a pursuit
meets the child in what the parent leaves.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import normalize

sys.path.insert(0, str(Path(__file__).parents[1] / "train"))
from pursuit import residual_energies, select  # noqa: E402
from rate import set_rate  # noqa: E402

PARENTS, CHILDREN, D = 12, 4, 64
ROWS, BATCH, STEPS = 40_000, 512, 6_000
RESTART = 250
RATES = (1e-3, 3e-3, 1e-2, 3e-2)
ACTIVE = 2
FOUND = 0.9
SEED = 20250603


@dataclass(frozen=True)
class Recovery:
    """Concepts whose direction some atom matches with |cosine| ≥ 0.9, and the mean of the best cosines."""

    parents: int
    children: int
    parent_cosine: float
    child_cosine: float


class Trained(NamedTuple):
    atoms: torch.Tensor
    loss: float
    """What is left of the rows, on average."""


def plant() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """rows [n, d], parents' directions [P, d], children's [P · C, d]."""
    torch.manual_seed(SEED)
    parents = normalize(torch.randn(PARENTS, D), dim=1)
    children = normalize(torch.randn(PARENTS * CHILDREN, D), dim=1)
    rows = torch.zeros(ROWS, D)
    for slot in range(ACTIVE):
        # Without replacement: the second parent is one of the others.
        parent = torch.randint(PARENTS, (ROWS,)) if slot == 0 else (parent + 1 + torch.randint(PARENTS - 1, (ROWS,))) % PARENTS
        child = parent * CHILDREN + torch.randint(CHILDREN, (ROWS,))
        strength = 0.8 + 0.4 * torch.rand(ROWS, 1)
        rows += strength * parents[parent]
        rows += (torch.rand(ROWS, 1) < 0.75) * (0.5 + 0.3 * torch.rand(ROWS, 1)) * children[child]
    return rows, parents, children


def train_pursuit(rows: torch.Tensor, m: int, k: int, rate: float) -> Trained:
    atoms = torch.nn.Parameter(normalize(rows[:m], dim=1))
    optimizer = torch.optim.Adam([atoms], lr=rate)
    used = torch.zeros(m, dtype=torch.long)
    for step, batch in enumerate(batches(rows)):
        set_rate(optimizer, rate, step, STEPS)
        chosen = select(batch, atoms.detach(), k)
        used += torch.bincount(chosen.flatten(), minlength=m)
        if step % RESTART == RESTART - 1 and step < STEPS // 2:
            restart_unused(used, batch, lambda rows_: rows_ - rebuild(rows_, atoms, k), [atoms], optimizer)
        # What is left after the last selection, as the official code trains: earlier ones would reward merging.
        loss = residual_energies(batch, atoms, chosen)[:, -1].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            atoms.div_(atoms.norm(dim=1, keepdim=True))
    return Trained(atoms.detach(), float((rows - rebuild(rows, atoms.detach(), k)).square().sum(dim=1).mean()))


def train_topk(rows: torch.Tensor, m: int, k: int, rate: float) -> Trained:
    decoder = torch.nn.Parameter(normalize(rows[:m], dim=1))
    # The k nearest atoms of a row resemble each other: at full length they would overshoot it.
    encoder = torch.nn.Parameter(decoder.detach() / k)
    bias, center = torch.nn.Parameter(torch.zeros(m)), torch.nn.Parameter(rows.mean(dim=0))
    optimizer = torch.optim.Adam([decoder, encoder, bias, center], lr=rate)
    used = torch.zeros(m, dtype=torch.long)

    def left_by(rows_: torch.Tensor) -> torch.Tensor:
        values, chosen = torch.relu((rows_ - center) @ encoder.T + bias).topk(k, dim=1)
        return rows_ - center - (values.unsqueeze(2) * decoder[chosen]).sum(dim=1)

    for step, batch in enumerate(batches(rows)):
        set_rate(optimizer, rate, step, STEPS)
        scores = torch.relu((batch - center) @ encoder.T + bias)
        values, chosen = scores.topk(k, dim=1)
        rebuilt = (values.unsqueeze(2) * decoder[chosen]).sum(dim=1) + center
        loss = (batch - rebuilt).square().sum(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            decoder.div_(decoder.norm(dim=1, keepdim=True))
        used += torch.bincount(chosen[values > 0], minlength=m)
        if step % RESTART == RESTART - 1 and step < STEPS // 2:
            restart_unused(used, batch, left_by, [decoder, encoder], optimizer)
    with torch.no_grad():
        return Trained(decoder.detach(), float(left_by(rows).square().sum(dim=1).mean()))


@torch.no_grad()
def rebuild(rows: torch.Tensor, atoms: torch.Tensor, k: int) -> torch.Tensor:
    residual, chosen = rows.clone(), select(rows, atoms, k)
    for step in range(k):
        atom = atoms[chosen[:, step]]
        residual -= (residual * atom).sum(dim=1, keepdim=True).clamp_min(0) * atom
    return rows - residual


@torch.no_grad()
def restart_unused(used: torch.Tensor, batch: torch.Tensor, left_by, parameters: list[torch.Tensor], optimizer) -> None:
    """Atoms used less than a tenth of their share start again as what is left of the worst explained rows; `used` starts anew."""
    rare = (used < used.sum() / len(used) / 10).nonzero().flatten()
    if len(rare) > 0:
        left = left_by(batch)
        worst = left.norm(dim=1).argsort(descending=True)[: len(rare)]
        for parameter in parameters:
            parameter[rare] = normalize(left[worst], dim=1)
            for moment in ("exp_avg", "exp_avg_sq"):
                optimizer.state[parameter][moment][rare] = 0
    used.zero_()


def batches(rows: torch.Tensor):
    for _ in range(STEPS):
        yield rows[torch.randint(len(rows), (BATCH,))]


def recovery(atoms: torch.Tensor, parents: torch.Tensor, children: torch.Tensor) -> Recovery:
    best = [(atoms @ concepts.T).abs().max(dim=0).values.numpy() for concepts in (parents, children)]
    return Recovery(*(int((b >= FOUND).sum()) for b in best), *(float(np.mean(b)) for b in best))


def run() -> dict[str, Recovery]:
    rows, parents, children = plant()
    m, k = PARENTS * (1 + CHILDREN), 2 * ACTIVE
    found = {}
    for name, train in {"matching pursuit": train_pursuit, "TopK": train_topk}.items():
        # Each at its own best rate, by the loss: the concepts themselves choose nothing.
        best = min((train(rows, m, k, rate) for rate in RATES), key=lambda trained: trained.loss)
        found[name] = recovery(best.atoms, parents, children)
    return found


if __name__ == "__main__":
    for name, found in run().items():
        print(name, found)
