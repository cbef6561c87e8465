"""Writes a dictionary folder: manifest, weights, examples (see docs/import.md for the format)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file


def write_dictionary(
    folder: Path,
    *,
    atoms: np.ndarray,
    center: np.ndarray,
    examples: np.ndarray,
    texts: list[str],
    training: dict,
    held_out: list[dict],
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    m, d = atoms.shape
    manifest = {
        "format": 1,
        "id": folder.name,
        "kind": "matching_pursuit",
        "d": d,
        "m": m,
        "encoder": {
            "score": "relu",
            "reselect": "add",
            "center": True,
            "residual_threshold": 0,
            "max_atoms": None,
            "input_norm": "none",
        },
        "provenance": {
            "model": "sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), sentence embeddings of unit length",
            "data": "WordNet 3.1 (WordNet License), each synset as 'lemma: definition'; a tenth of the synsets held out",
            "licence": "Apache-2.0",
            "trained_by": "tools/train/train.py",
            "training": training,
            "held_out": held_out,
        },
    }
    write(folder / "dictionary.json", (json.dumps(manifest, indent=2) + "\n").encode())
    save(folder / "weights.safetensors", {"atoms": atoms, "center": center})
    save(folder / "examples.safetensors", {"rows": examples})
    write(folder / "examples.json", (json.dumps(texts, indent=0, ensure_ascii=False) + "\n").encode())


def save(path: Path, tensors: dict[str, np.ndarray]) -> None:
    partial = path.with_name(path.name + ".partial")
    save_file({name: np.ascontiguousarray(tensor, dtype=np.float32) for name, tensor in tensors.items()}, partial)
    os.replace(partial, path)


def write(path: Path, content: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    os.replace(partial, path)
