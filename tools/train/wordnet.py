"""WordNet's synsets as sentences, and their split by synset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

PARTS_OF_SPEECH = ("noun", "verb", "adj", "adv")
HELD_OUT_SHARE = 0.1
SPLIT_SEED = 20250603


@dataclass(frozen=True)
class Synset:
    """One synset: its part of speech and file offset name it (the format is WordNet's wndb(5WN))."""

    key: str
    sentence: str


def read_synsets(dict_folder: Path) -> list[Synset]:
    """Every synset of the data files as "lemma: definition", in file order.

    The lemma is the first of the synset, underscores as spaces, without an adjective's syntactic marker; the
    definition is the gloss up to its first example sentence.
    """
    synsets = []
    for part in PARTS_OF_SPEECH:
        with open(dict_folder / f"data.{part}", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("  "):  # the licence, which heads each file
                    continue
                fields, _, gloss = line.partition(" | ")
                offset, _, _, _, lemma = fields.split(" ", 5)[:5]
                lemma = lemma.split("(")[0].replace("_", " ")
                definition = gloss.strip().split('; "')[0].strip()
                synsets.append(Synset(f"{part}:{offset}", f"{lemma}: {definition}"))
    return synsets


def split(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the training and of the held-out synsets: a seeded shuffle, the last tenth held out."""
    order = np.random.default_rng(SPLIT_SEED).permutation(count)
    held_out = int(count * HELD_OUT_SHARE)
    return np.sort(order[:-held_out]), np.sort(order[-held_out:])
