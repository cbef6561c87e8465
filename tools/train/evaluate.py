"""Prints the held-out table of a dictionary folder, either kind.

    python evaluate.py --embeddings embeddings/ --dictionary ../../models/minilm-wordnet-mp
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from embedded import load_embedded
from held_out import BUDGETS, pursuit_table, topk_table
from topk import TopK


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--embeddings", type=Path, required=True)
    parser.add_argument("--dictionary", type=Path, required=True)
    arguments = parser.parse_args()
    embedded = load_embedded(arguments.embeddings)
    rows = embedded.rows[embedded.held_out]
    kind = json.loads((arguments.dictionary / "dictionary.json").read_text(encoding="utf-8"))["kind"]
    weights = {name: tensor.float() for name, tensor in load_file(arguments.dictionary / "weights.safetensors").items()}
    if kind == "topk":
        lines = topk_table(rows, TopK(**weights), BUDGETS)
    else:
        lines = pursuit_table(rows - weights["center"], weights["atoms"], BUDGETS)
    for line in lines:
        print(line)


if __name__ == "__main__":
    main()
