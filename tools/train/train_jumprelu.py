"""Trains a JumpReLU SAE on the rows that train_topk.py trains on, for docs/evidence.md. It is not shipped.

    python train_jumprelu.py --embeddings embeddings/ --out …/models/minilm-wordnet-jumprelu

Rajamanoharan et al. 2024, arXiv 2407.14435: thresholds learn by a straight-through estimate. The penalty pulls the mean number of
active atoms to --l0. Seeded: the same embeddings on the same machine give the same file.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from dictionary_folder import write_dictionary
from embedded import SEED, load_embedded
from rate import set_rate

Tensor = torch.Tensor

# Adam moves every parameter by about its rate a step; thresholds have to follow the encoder's scale, so they move faster.
FASTER = 10


class Jump(torch.autograd.Function):
    """(h · [h > θ], [h > θ]) with gradients to θ from a window of width ε around it."""

    @staticmethod
    def forward(context, pre: Tensor, threshold: Tensor, width: float) -> tuple[Tensor, Tensor]:
        context.save_for_backward(pre, threshold)
        context.width = width
        active = (pre > threshold).to(pre.dtype)
        return pre * active, active

    @staticmethod
    def backward(context, to_value: Tensor, to_active: Tensor) -> tuple[Tensor, Tensor, None]:
        pre, threshold = context.saved_tensors
        near = ((pre - threshold).abs() < context.width / 2).to(pre.dtype) / context.width
        to_threshold = -(near * (threshold * to_value + to_active)).sum(dim=0)
        return to_value * (pre > threshold), to_threshold, None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--embeddings", type=Path, required=True, help="folder that embed.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="dictionary folder to write")
    parser.add_argument("--atoms", type=int, default=4096)
    parser.add_argument("--l0", type=int, default=16, help="active atoms of a row, on average")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--rate", type=float, default=2e-3, help="Adam's first learning rate; it falls to a hundredth by a cosine")
    parser.add_argument("--width", type=float, default=0.03, help="of the window around a threshold")
    arguments = parser.parse_args()

    torch.manual_seed(SEED)
    started = time.time()
    embedded = load_embedded(arguments.embeddings)
    tensors = fit(embedded.rows[embedded.train], embedded.center, arguments)
    names = ("atoms", "l0", "epochs", "batch", "rate", "width")
    write_dictionary(
        arguments.out,
        kind="jumprelu",
        encoder={"center": True, "subtract_center": True, "input_norm": "none", "comparison": "strict"},
        default_budget={"max_atoms": arguments.l0},
        tensors={name: tensor.numpy() for name, tensor in tensors.items()},
        examples=embedded.examples(),
        trained_by="tools/train/train_jumprelu.py",
        training={**{name: getattr(arguments, name) for name in names}, "seed": SEED, "minutes": round((time.time() - started) / 60, 1)},
        held_out=[],
    )


def fit(rows: Tensor, center: Tensor, arguments: argparse.Namespace) -> dict[str, Tensor]:
    """Trained on rows [n, d]. Starts tied, at the threshold that leaves l0 atoms active."""
    centred = rows - center
    atoms = torch.nn.functional.normalize(centred[torch.randperm(len(rows))[: arguments.atoms]], dim=1)
    sample = centred[:1024] @ atoms.T
    first = sample.flatten().kthvalue(int(sample.numel() * (1 - arguments.l0 / arguments.atoms))).values
    kept = (sample * (sample > first)) @ atoms
    scale = (centred[:1024] * kept).sum() / kept.square().sum()
    parameters = {
        "atoms": atoms.clone(),
        "encoder_weight": atoms * scale,
        "encoder_bias": torch.zeros(arguments.atoms),
        "log_threshold": ((first * scale).log() / FASTER).expand(arguments.atoms).clone(),
    }
    for parameter in parameters.values():
        parameter.requires_grad_()
    optimizer = torch.optim.Adam(parameters.values(), lr=arguments.rate, betas=(0.9, 0.99))
    variance = centred.square().sum(dim=1).mean()
    batches = len(rows) // arguments.batch
    for epoch in range(arguments.epochs):
        order = torch.randperm(len(rows))
        error = active_atoms = 0.0
        for at in range(batches):
            set_rate(optimizer, arguments.rate, epoch * batches + at, arguments.epochs * batches)
            batch = centred[order[at * arguments.batch : (at + 1) * arguments.batch]]
            pre = torch.nn.functional.linear(batch, parameters["encoder_weight"], parameters["encoder_bias"])
            values, active = Jump.apply(torch.relu(pre), (FASTER * parameters["log_threshold"]).exp(), arguments.width)
            l0 = active.sum(dim=1).mean()
            unexplained = (batch - values @ parameters["atoms"]).square().sum(dim=1).mean() / variance
            error += unexplained.item()
            active_atoms += l0.item()
            optimizer.zero_grad()
            (unexplained + 0.1 * (l0 / arguments.l0 - 1).square()).backward()
            optimizer.step()
            with torch.no_grad():
                parameters["atoms"].div_(parameters["atoms"].norm(dim=1, keepdim=True))
        print(f"epoch {epoch + 1}: unexplained {error / batches:.4f} with {active_atoms / batches:.1f} atoms", flush=True)
    trained = {name: parameter.detach() for name, parameter in parameters.items()}
    return {**{name: trained[name] for name in ("atoms", "encoder_weight", "encoder_bias")}, "threshold": (FASTER * trained["log_threshold"]).exp(), "center": center.clone()}


if __name__ == "__main__":
    main()
