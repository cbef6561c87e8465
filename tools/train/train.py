"""Trains models/minilm-wordnet-mp: an MP-SAE (ReLU score, tied unit atoms) on MiniLM embeddings of WordNet.

    python train.py --embeddings embeddings/ --out ../../models/minilm-wordnet-mp

Seeded: the same embeddings on the same machine give the same file.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch

from dictionary_folder import write_dictionary
from embedded import BATCH, SEED, load_embedded
from held_out import BUDGETS, pursuit_table
from pursuit import residual_energies, select
from rate import set_rate

# What pursuit.py's select() does: a repeated atom adds its value and the pursuit goes on.
ENCODER = {"score": "relu", "reselect": "add", "center": True, "residual_threshold": 0, "max_atoms": None, "input_norm": "none"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--embeddings", type=Path, required=True, help="folder that embed.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="dictionary folder to write")
    parser.add_argument("--atoms", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=16, help="selections of a row in training")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--rate", type=float, default=2e-3, help="Adam's first learning rate; it falls to a hundredth by a cosine")
    parser.add_argument("--loss", choices=["last", "prefixes"], default="prefixes", help="the residual after the last step, or the mean over steps 1, 2, 4, …")
    arguments = parser.parse_args()

    torch.manual_seed(SEED)
    started = time.time()
    embedded = load_embedded(arguments.embeddings)
    center = embedded.center
    centred = embedded.rows - center
    atoms = fit(centred[embedded.train], arguments)
    minutes = (time.time() - started) / 60

    table = pursuit_table(centred[embedded.held_out], atoms, BUDGETS)
    for line in table:
        print(line)
    write_dictionary(
        arguments.out,
        kind="matching_pursuit",
        encoder=ENCODER,
        default_budget={"max_atoms": arguments.steps},
        tensors={"atoms": atoms.numpy(), "center": center.numpy()},
        examples=embedded.examples(),
        trained_by="tools/train/train.py",
        training={"steps": arguments.steps, "epochs": arguments.epochs, "loss": arguments.loss, "seed": SEED, "minutes": round(minutes, 1)},
        held_out=table,
    )


def fit(rows: torch.Tensor, arguments: argparse.Namespace) -> torch.Tensor:
    """Unit atoms [m, d] that leave the least residual of centred rows [n, d]."""
    count = rows.shape[0]
    first = torch.randperm(count)[: arguments.atoms]
    atoms = torch.nn.Parameter(torch.nn.functional.normalize(rows[first], dim=1))
    optimizer = torch.optim.Adam([atoms], lr=arguments.rate, betas=(0.9, 0.99))
    steps_per_epoch = count // BATCH
    total = arguments.epochs * steps_per_epoch
    ends = [2**i - 1 for i in range(int(math.log2(arguments.steps)) + 1)] if arguments.loss == "prefixes" else [arguments.steps - 1]
    done = 0
    for epoch in range(arguments.epochs):
        used = torch.zeros(arguments.atoms, dtype=torch.long)
        order = torch.randperm(count)
        error = 0.0
        for at in range(steps_per_epoch):
            set_rate(optimizer, arguments.rate, done, total)
            batch = rows[order[at * BATCH : (at + 1) * BATCH]]
            chosen = select(batch, atoms.detach(), arguments.steps)
            energies = residual_energies(batch, atoms, chosen)
            loss = energies[:, ends].mean() / batch.square().sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                atoms.div_(atoms.norm(dim=1, keepdim=True))
            used += torch.bincount(chosen.flatten(), minlength=arguments.atoms)
            error += float(energies[:, -1].mean().detach() / batch.square().sum(dim=1).mean())
            done += 1
        dead = (used == 0).nonzero().flatten()
        print(f"epoch {epoch + 1}: unexplained {error / steps_per_epoch:.4f} after {arguments.steps} steps, {len(dead)} atoms unused", flush=True)
        # An unused atom starts again as what is left of a badly explained row; not in the last quarter, to let all settle.
        if len(dead) > 0 and epoch < arguments.epochs * 3 // 4:
            restart(atoms, dead, rows[order[: 4 * BATCH]], arguments.steps, optimizer)
    return atoms.detach()


@torch.no_grad()
def restart(atoms: torch.Tensor, dead: torch.Tensor, rows: torch.Tensor, steps: int, optimizer: torch.optim.Optimizer) -> None:
    residual = rows.clone()
    chosen = select(rows, atoms, steps)
    for step in range(steps):
        atom = atoms[chosen[:, step]]
        residual -= (residual * atom).sum(dim=1, keepdim=True).clamp_min(0) * atom
    worst = residual.norm(dim=1).argsort(descending=True)[: len(dead)]
    dead = dead[: len(worst)]
    atoms[dead] = torch.nn.functional.normalize(residual[worst], dim=1)
    for moment in ("exp_avg", "exp_avg_sq"):
        optimizer.state[atoms][moment][dead] = 0


if __name__ == "__main__":
    main()
