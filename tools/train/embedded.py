"""What embed.py wrote, split into training and held-out rows, with what every dictionary here shares: seed, batch, centre."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from wordnet import split

SEED = 20250603
BATCH = 2048
EXAMPLES = 64


@dataclass(frozen=True)
class Embedded:
    """Rows [n, d] float32 of unit length and the sentences they came from; `train` and `held_out` are positions in them."""

    rows: torch.Tensor
    sentences: list[str]
    train: np.ndarray
    held_out: np.ndarray

    @property
    def center(self) -> torch.Tensor:
        """Mean of the training rows [d]."""
        return self.rows[self.train].mean(dim=0)

    def examples(self) -> tuple[np.ndarray, list[str]]:
        """The held-out rows that ship with every dictionary [EXAMPLES, d], and their sentences."""
        chosen = np.random.default_rng(SEED).choice(self.held_out, EXAMPLES, replace=False)
        return self.rows[chosen].numpy(), [self.sentences[i] for i in chosen]


def load_embedded(folder: Path) -> Embedded:
    rows = torch.from_numpy(np.load(folder / "rows.npy"))
    sentences = json.loads((folder / "sentences.json").read_text(encoding="utf-8"))
    return Embedded(rows, sentences, *split(len(sentences)))
