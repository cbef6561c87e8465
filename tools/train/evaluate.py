"""The held-out table of a shipped dictionary.

    python evaluate.py --embeddings embeddings/ --dictionary ../../models/minilm-wordnet-mp

Explained variance is 1 - Σ||x - x̂||² / Σ||x - mean||² over the held-out synsets, mean being theirs; atoms is the mean
number of distinct atoms of a row.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

from pursuit import residual_energies, select
from wordnet import split

BUDGETS = (1, 2, 4, 8, 16, 32, 64)


@torch.no_grad()
def held_out_table(centred: torch.Tensor, atoms: torch.Tensor, budgets: tuple[int, ...]) -> list[dict]:
    """One line a budget, from one pursuit of the largest: the first k selections are the pursuit of budget k."""
    variance = (centred - centred.mean(dim=0)).square().sum()
    deepest = max(budgets)
    gram = atoms @ atoms.T
    energy = torch.zeros(deepest, dtype=torch.float64)
    distinct = torch.zeros(deepest, dtype=torch.float64)
    used = torch.zeros(atoms.shape[0], dtype=torch.long)
    for batch in centred.split(1024):
        chosen = select(batch, atoms, deepest, gram)
        energy += residual_energies(batch, atoms, chosen).double().sum(dim=0)
        for k in budgets:
            ordered = chosen[:, :k].sort(dim=1).values
            distinct[k - 1] += ((ordered[:, 1:] != ordered[:, :-1]).sum() + ordered.shape[0]).item()
        used += torch.bincount(chosen[:, :16].flatten(), minlength=atoms.shape[0])
    rows = centred.shape[0]
    table = [
        {"max_atoms": k, "explained_variance": round(1 - float(energy[k - 1] / variance), 4), "atoms": round(float(distinct[k - 1]) / rows, 2)}
        for k in budgets
    ]
    return [*table, {"rows": rows, "unused_atoms_at_16": int((used == 0).sum())}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--embeddings", type=Path, required=True)
    parser.add_argument("--dictionary", type=Path, required=True)
    arguments = parser.parse_args()
    weights = load_file(arguments.dictionary / "weights.safetensors")
    rows = np.load(arguments.embeddings / "rows.npy")
    _, held_out = split(len(rows))
    centred = torch.from_numpy(rows[held_out] - weights["center"])
    for line in held_out_table(centred, torch.from_numpy(weights["atoms"]), BUDGETS):
        print(line)


if __name__ == "__main__":
    main()
