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
    kind: str,
    encoder: dict,
    default_budget: dict,
    tensors: dict[str, np.ndarray],
    examples: tuple[np.ndarray, list[str]],
    trained_by: str,
    training: dict,
    held_out: list[dict],
) -> None:
    """`tensors` holds `atoms` [m, d] and what else the kind needs, in the dtype to store; `examples` are rows and texts."""
    folder.mkdir(parents=True, exist_ok=True)
    m, d = tensors["atoms"].shape
    rows, texts = examples
    manifest = {
        "format": 1,
        "id": folder.name,
        "kind": kind,
        "d": d,
        "m": m,
        "encoder": encoder,
        "default_budget": default_budget,
        "provenance": {
            "model": "sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), sentence embeddings of unit length",
            "sentence_model": "sentence-transformers/all-MiniLM-L6-v2",
            "data": "WordNet 3.1 (WordNet License), each synset as 'lemma: definition'; a tenth of the synsets held out",
            "licence": "Apache-2.0",
            "trained_by": trained_by,
            "training": training,
            "held_out": held_out,
        },
    }
    write(folder / "dictionary.json", (json.dumps(manifest, indent=2) + "\n").encode())
    save(folder / "weights.safetensors", tensors)
    save(folder / "examples.safetensors", {"rows": rows})
    write(folder / "examples.json", (json.dumps(texts, indent=0, ensure_ascii=False) + "\n").encode())


def save(path: Path, tensors: dict[str, np.ndarray]) -> None:
    partial = path.with_name(path.name + ".partial")
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, partial)
    # safetensors writes for its owner alone; a server may run as someone else.
    os.chmod(partial, 0o644)
    os.replace(partial, path)


def write(path: Path, content: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    os.replace(partial, path)
