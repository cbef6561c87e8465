"""Trains models/minilm-wordnet-topk: a TopK SAE on the rows that train.py trains on, and as many of them.

    python train_topk.py --embeddings embeddings/ --out ../../models/minilm-wordnet-topk

Without --out it prints the held-out table and writes nothing. Seeded: the same embeddings on the same machine give the
same file.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from dictionary_folder import write_dictionary
from embedded import SEED, load_embedded
from held_out import BUDGETS, topk_table
from rate import set_rate
from topk import TopK, combine, decode, keep_largest, pre_activations

# Gao et al. 2024, arXiv 2406.04093, appendix A.2.
AUX_WEIGHT = 1 / 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--embeddings", type=Path, required=True, help="folder that embed.py wrote")
    parser.add_argument("--out", type=Path, help="dictionary folder to write")
    parser.add_argument("--atoms", type=int, default=4096)
    parser.add_argument("--k", type=int, default=16, help="atoms of a row")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--rate", type=float, default=2e-3, help="Adam's first learning rate; it falls to a hundredth by a cosine")
    arguments = parser.parse_args()

    torch.manual_seed(SEED)
    started = time.time()
    embedded = load_embedded(arguments.embeddings)
    coder = fit(embedded.rows[embedded.train], embedded.center, arguments)
    minutes = (time.time() - started) / 60

    # What is written is what is evaluated: the two matrices in float16.
    stored = coder._replace(atoms=coder.atoms.half(), encoder_weight=coder.encoder_weight.half())
    table = topk_table(embedded.rows[embedded.held_out], TopK(*(tensor.float() for tensor in stored)), BUDGETS)
    for line in table:
        print(line)
    if arguments.out is None:
        return
    settings = {name: getattr(arguments, name) for name in ("k", "epochs", "batch", "rate")}
    write_dictionary(
        arguments.out,
        kind="topk",
        encoder={"k": arguments.k, "center": True, "subtract_center": True, "input_norm": "none"},
        default_budget={"max_atoms": arguments.k},
        tensors={name: tensor.numpy() for name, tensor in stored._asdict().items()},
        examples=embedded.examples(),
        trained_by="tools/train/train_topk.py",
        training={**settings, "auxiliary_loss": "AuxK", "seed": SEED, "minutes": round(minutes, 1)},
        held_out=table,
    )


def fit(rows: torch.Tensor, center: torch.Tensor, arguments: argparse.Namespace) -> TopK:
    """Trained on rows [n, d]."""
    count = rows.shape[0]
    coder = start(rows[torch.randperm(count)[: arguments.atoms]], center, arguments.k)
    for parameter in coder:
        parameter.requires_grad_()
    optimizer = torch.optim.Adam(coder, lr=arguments.rate, betas=(0.9, 0.99))
    variance = (rows - center).square().sum(dim=1).mean()
    batches = count // arguments.batch
    # Rows are few here and the paper's ten million are never reached: an atom is unused after an epoch without a row.
    idle = torch.zeros(arguments.atoms, dtype=torch.long)
    for epoch in range(arguments.epochs):
        used = torch.zeros(arguments.atoms, dtype=torch.long)
        order = torch.randperm(count)
        error = 0.0
        for at in range(batches):
            set_rate(optimizer, arguments.rate, epoch * batches + at, arguments.epochs * batches)
            batch = rows[order[at * arguments.batch : (at + 1) * arguments.batch]]
            pre = pre_activations(batch, coder)
            values, indices = keep_largest(pre, arguments.k)
            left = batch - decode(values, indices, coder)
            loss = left.square().sum(dim=1).mean() / variance
            error += loss.item()
            fired = torch.bincount(indices[values > 0], minlength=arguments.atoms)
            used += fired
            idle = (idle + 1).masked_fill(fired > 0, 0)
            loss = loss + AUX_WEIGHT * auxiliary(coder, pre, left.detach(), (idle >= batches).nonzero().flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                coder.atoms.div_(coder.atoms.norm(dim=1, keepdim=True))
        unused = int((used == 0).sum())
        print(f"epoch {epoch + 1}: unexplained {error / batches:.4f} with {arguments.k} atoms, {unused} atoms unused", flush=True)
    return TopK(*(parameter.detach() for parameter in coder))


def start(rows: torch.Tensor, center: torch.Tensor, k: int) -> TopK:
    """Tied: each atom is one of the centred rows [m, d] at unit length, and the encoder a multiple of the atoms.

    The k nearest atoms of a row resemble each other, so at full length they overshoot it (unexplained: 1.2 over a first
    epoch). The multiple is the one that reconstructs these rows best.
    """
    atoms = torch.nn.functional.normalize(rows - center, dim=1)
    coder = TopK(atoms, center.clone(), atoms.clone(), torch.zeros(len(atoms)))
    explained = combine(*keep_largest(pre_activations(rows, coder), k), atoms)
    coder.encoder_weight.mul_(((rows - center) * explained).sum() / explained.square().sum())
    return coder


def auxiliary(coder: TopK, pre: torch.Tensor, left: torch.Tensor, dead: torch.Tensor) -> torch.Tensor:
    """AuxK: the share of what is left [n, d] that the strongest of the dead atoms leave unexplained."""
    if len(dead) == 0:
        return left.new_zeros(())
    values, at = keep_largest(pre[:, dead], min(len(dead), left.shape[1] // 2))
    return (left - combine(values, dead[at], coder.atoms)).square().sum() / left.square().sum()


if __name__ == "__main__":
    main()
