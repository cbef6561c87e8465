"""A TopK sparse autoencoder in PyTorch, with EleutherAI sparsify's semantics.

    pre = relu((x - center) @ encoder_weight.T + encoder_bias);  keep the k largest;  x̂ = values @ atoms + center
"""

from __future__ import annotations

from typing import NamedTuple

import torch

Tensor = torch.Tensor


class TopK(NamedTuple):
    """Named as the tensors of a dictionary folder are: atoms [m, d], center [d], encoder_weight [m, d], encoder_bias [m]."""

    atoms: Tensor
    center: Tensor
    encoder_weight: Tensor
    encoder_bias: Tensor


def pre_activations(rows: Tensor, coder: TopK) -> Tensor:
    """[n, m], none negative, of rows [n, d]."""
    return torch.relu(torch.nn.functional.linear(rows - coder.center, coder.encoder_weight, coder.encoder_bias))


def keep_largest(pre: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Values and indices [n, k], largest first; where fewer than k are positive, the rest have value 0."""
    return pre.topk(k, dim=1)


def decode(values: Tensor, indices: Tensor, coder: TopK) -> Tensor:
    """Rows [n, d] of codes [n, k]."""
    return combine(values, indices, coder.atoms) + coder.center


def combine(values: Tensor, indices: Tensor, atoms: Tensor) -> Tensor:
    """Σ values · atoms [n, d], without the centre."""
    return torch.nn.functional.embedding_bag(indices, atoms, per_sample_weights=values, mode="sum")
