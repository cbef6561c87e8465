"""Lines over a number of atoms, as SVG files that say the same bytes for the same figures."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "pursuit"
matplotlib.rcParams["svg.fonttype"] = "none"

import matplotlib.pyplot as plt  # noqa: E402

Line = tuple[list[float], list[float], str]


def lines(path: Path, title: str, across: str, up: str, drawn: dict[str, tuple[list[float], list[float]]], *, log: bool = False) -> None:
    """`drawn`: name → (x, y)."""
    figure, axes = plt.subplots(figsize=(6.4, 4))
    for name, (x, y) in drawn.items():
        axes.plot(x, y, marker="o", markersize=3, label=name)
    axes.set(title=title, xlabel=across, ylabel=up)
    if log:
        axes.set_xscale("log", base=2)
        axes.set_xticks(sorted({value for x, _ in drawn.values() for value in x}), minor=False)
        axes.get_xaxis().set_major_formatter(matplotlib.ticker.ScalarFormatter())
        axes.get_xaxis().set_minor_locator(matplotlib.ticker.NullLocator())
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
