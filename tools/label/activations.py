"""Codes of rows by a shipped dictionary of either kind, as a scipy matrix [n, m]."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from scipy.sparse import csr_matrix

sys.path.insert(0, str(Path(__file__).parents[1] / "train"))
from pursuit import select  # noqa: E402


@dataclass(frozen=True)
class Codes:
    """`chosen` [n, k] atoms in the order of selection (TopK: by magnitude), `values` [n, k]; 0 where nothing was chosen."""

    chosen: np.ndarray
    values: np.ndarray
    m: int

    def matrix(self) -> csr_matrix:
        """[n, m], a re-selected atom's values summed."""
        n, k = self.chosen.shape
        return csr_matrix((self.values.ravel(), (np.repeat(np.arange(n), k), self.chosen.ravel())), shape=(n, self.m))


@torch.no_grad()
def encode(folder: Path, rows: np.ndarray, budget: int) -> Codes:
    kind = json.loads((folder / "dictionary.json").read_text())["kind"]
    weights = {name: tensor.float() for name, tensor in load_file(folder / "weights.safetensors").items()}
    centred = torch.from_numpy(rows) - weights["center"]
    parts = [ENCODERS[kind](batch, weights, budget) for batch in centred.split(1024)]
    chosen, values = (torch.cat(column).numpy() for column in zip(*parts, strict=True))
    return Codes(chosen, values, weights["atoms"].shape[0])


def pursue(rows: torch.Tensor, weights: dict[str, torch.Tensor], budget: int) -> tuple[torch.Tensor, torch.Tensor]:
    atoms = weights["atoms"]
    gram = weights.setdefault("gram", atoms @ atoms.T)
    chosen = select(rows, atoms, budget, gram)
    residual, values = rows.clone(), []
    for step in range(budget):
        atom = atoms[chosen[:, step]]
        value = (residual * atom).sum(dim=1, keepdim=True).clamp_min(0)
        residual -= value * atom
        values.append(value)
    return chosen, torch.cat(values, dim=1)


def keep_largest(rows: torch.Tensor, weights: dict[str, torch.Tensor], budget: int) -> tuple[torch.Tensor, torch.Tensor]:
    scores = torch.relu(rows @ weights["encoder_weight"].T + weights["encoder_bias"])
    values, chosen = scores.topk(budget, dim=1)
    return chosen, values


ENCODERS = {"matching_pursuit": pursue, "topk": keep_largest}
