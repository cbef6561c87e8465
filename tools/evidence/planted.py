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

import numpy as np
import torch
from torch.nn.functional import normalize

sys.path.insert(0, str(Path(__file__).parents[1] / "train"))
from pursuit import residual_energies, select  # noqa: E402

PARENTS, CHILDREN, D = 12, 4, 64
ROWS, BATCH, STEPS = 40_000, 512, 3_000
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


def train_pursuit(rows: torch.Tensor, m: int, k: int) -> torch.Tensor:
    atoms = torch.nn.Parameter(normalize(torch.randn(m, D), dim=1))
    optimizer = torch.optim.Adam([atoms], lr=3e-3)
    for batch in batches(rows):
        chosen = select(batch, atoms.detach(), k)
        loss = residual_energies(batch, atoms, chosen).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            atoms.div_(atoms.norm(dim=1, keepdim=True))
    return atoms.detach()


def train_topk(rows: torch.Tensor, m: int, k: int) -> torch.Tensor:
    decoder = torch.nn.Parameter(normalize(torch.randn(m, D), dim=1))
    encoder = torch.nn.Parameter(decoder.detach().clone())
    bias, center = torch.nn.Parameter(torch.zeros(m)), torch.nn.Parameter(rows.mean(dim=0))
    optimizer = torch.optim.Adam([decoder, encoder, bias, center], lr=3e-3)
    for batch in batches(rows):
        scores = torch.relu((batch - center) @ encoder.T + bias)
        values, chosen = scores.topk(k, dim=1)
        rebuilt = (values.unsqueeze(2) * decoder[chosen]).sum(dim=1) + center
        loss = (batch - rebuilt).square().sum(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            decoder.div_(decoder.norm(dim=1, keepdim=True))
    return decoder.detach()


def batches(rows: torch.Tensor):
    for _ in range(STEPS):
        yield rows[torch.randint(len(rows), (BATCH,))]


def recovery(atoms: torch.Tensor, parents: torch.Tensor, children: torch.Tensor) -> Recovery:
    best = [(atoms @ concepts.T).abs().max(dim=0).values.numpy() for concepts in (parents, children)]
    return Recovery(*(int((b >= FOUND).sum()) for b in best), *(float(np.mean(b)) for b in best))


def run() -> dict[str, Recovery]:
    rows, parents, children = plant()
    m, k = PARENTS * (1 + CHILDREN), 2 * ACTIVE
    return {
        "matching pursuit": recovery(train_pursuit(rows, m, k), parents, children),
        "TopK": recovery(train_topk(rows, m, k), parents, children),
    }


if __name__ == "__main__":
    for name, found in run().items():
        print(name, found)
