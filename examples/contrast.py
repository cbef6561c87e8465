"""Finds the features that tell sentences about animals from sentences about tools (docs/contrast.md).

    python examples/contrast.py [--url http://127.0.0.1:8080] [--dictionary minilm-wordnet-mp] [--sentences FILE]

The file holds two lists by their names: {"animals": […], "tools": […]}. Those of contrast.json are WordNet's held-out synsets.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from embed import embed
from pursuit_client import Client


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--dictionary", default="minilm-wordnet-mp")
    parser.add_argument("--sentences", type=Path, default=Path(__file__).with_name("contrast.json"))
    arguments = parser.parse_args()
    (a, first), (b, second) = json.loads(arguments.sentences.read_text(encoding="utf-8")).items()
    with Client(arguments.url) as client:
        show(a, b, client.contrast(arguments.dictionary, embed(first), embed(second), limit=12))


def show(a: str, b: str, found: dict) -> None:
    chance = found["chance"]
    print(f"{a}: {found['a']['rows']} rows, {found['a']['features']} features")
    print(f"{b}: {found['b']['rows']} rows, {found['b']['features']} features, {found['features_in_both']} of them in both")
    within = f"{chance['overlap']['low']:.3f} to {chance['overlap']['high']:.3f}"
    print(f"overlap {found['overlap']:.3f}; by chance {within}, p = {chance['overlap_p_value']:.3f}")
    print(f"by chance the largest distance is up to {chance['largest_jensen_shannon']['high']:.3f}")
    print(f"\n feature  {'set':8} {'rate ' + a:>13} {'rate ' + b:>11}  distance      p  precision  label")
    for one in found["features"]:
        rates = f"{one['rate']['a']:13.2f} {one['rate']['b']:11.2f}"
        figures = f"{one['jensen_shannon']:9.3f} {one['p_value']:6.3f} {one['average_precision']:10.3f}"
        print(f"{one['index']:8}  {a if one['set'] == 'a' else b:8} {rates} {figures}  {one.get('label') or '—'}")


if __name__ == "__main__":
    main()
