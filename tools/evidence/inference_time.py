"""Explained variance at equal L0: a dictionary's own encoder against pursuit over the same decoder, by a running server.

    python inference_time.py --embeddings …/embeddings --url http://127.0.0.1:8080 minilm-wordnet-topk minilm-wordnet-jumprelu

Each held-out row gets exactly as many atoms from a pursuit as its own code has. Prints a table for docs/evidence.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.request
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "train"))
from wordnet import split  # noqa: E402

BUDGETS = (4, 8, 16, 32)
ROWS_AT_ONCE = 2048
ENCODERS = ("own", "matching_pursuit", "orthogonal")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--embeddings", type=Path, required=True, help="folder that embed.py wrote")
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("dictionaries", nargs="+")
    arguments = parser.parse_args()
    rows = np.load(arguments.embeddings / "rows.npy")
    held_out = rows[split(len(rows))[1]]
    print("| dictionary | budget | L0 | own encoder | matching pursuit | orthogonal |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for dictionary in arguments.dictionaries:
        before = 0.0
        for budget in BUDGETS:
            atoms, figures = compare(arguments.url, dictionary, held_out, budget)
            # Its own encoder has no more atoms to give.
            if atoms == before:
                break
            before = atoms
            print(f"| {dictionary} | {budget} | {atoms:.2f} | " + " | ".join(f"{figure:.4f}" for figure in figures) + " |", flush=True)


def compare(url: str, dictionary: str, rows: np.ndarray, budget: int) -> tuple[float, list[float]]:
    """Mean atoms of a row, and the explained variance by each of ENCODERS with as many."""
    own = encode(url, dictionary, rows, [budget] * len(rows), "own")
    atoms = [code["atoms"] for code in own]
    codes = [own, *(encode(url, dictionary, rows, atoms, encoder) for encoder in ENCODERS[1:])]
    variance = float(((rows - rows.mean(axis=0)) ** 2).sum())
    return float(np.mean(atoms)), [1 - sum(code["residual_norm"] ** 2 for code in each) / variance for each in codes]


def encode(url: str, dictionary: str, rows: np.ndarray, budgets: list[int], encoder: str) -> list[dict]:
    codes = []
    for first in range(0, len(rows), ROWS_AT_ONCE):
        part = slice(first, first + ROWS_AT_ONCE)
        body = {"inputs": rows[part].tolist(), "budget": [{"max_atoms": atoms} for atoms in budgets[part]], "encoder": encoder}
        request = urllib.request.Request(
            f"{url}/v1/dictionaries/{dictionary}/encode", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            codes += json.load(answer)["codes"]
    return codes


if __name__ == "__main__":
    main()
