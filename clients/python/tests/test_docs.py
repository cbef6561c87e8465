"""README's and docs/python.md's Python, run as it stands there, with the output that stands there."""

import ast
import asyncio
import contextlib
import importlib.util
import io
import re

import numpy as np
import pytest
from conftest import ROOT

BLOCK = re.compile(r"```python\n(.*?)```(?:\n+```text\n(.*?)```)?", re.DOTALL)


def blocks_of(page, heading=None):
    text = (ROOT / page).read_text()
    if heading is not None:
        text = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    return BLOCK.findall(text)


@pytest.fixture
def run(server, tmp_path, monkeypatch):
    """Runs a block among the variables of those before it, beside the files that docs speak of; gives what it prints."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").symlink_to(ROOT / "models")
    np.save("activations.npy", np.random.default_rng(0).standard_normal((300, 384)).astype(np.float32))
    names = {"__name__": "docs"}

    def run_block(code):
        printed = io.StringIO()
        code = code.replace("http://127.0.0.1:8080", server.url)
        with contextlib.redirect_stdout(printed):
            made = eval(compile(code, "block", "exec", flags=_TOP_LEVEL_AWAIT), names)
            if made is not None:
                asyncio.run(made)
        return printed.getvalue()

    run_block.names = names
    return run_block


_TOP_LEVEL_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


@pytest.mark.parametrize("page", ["README.md", "clients/python/README.md"])
def test_readme(run, page):
    [(code, _)] = blocks_of(page, "From Python" if page == "README.md" else None)
    assert len([line for line in code.splitlines() if line.strip()]) <= 8
    run(code)
    assert run.names["codes"].shape == (300, 4096)
    assert run.names["codes"].mean_atoms == 8


def test_walk_through(run):
    pages = blocks_of("docs/python.md")
    assert len(pages) >= 8
    compared = 0
    for code, expected in pages:
        needed = [name for name in ("torch", "transformers", "polars") if f"import {name}" in code or f"from {name} " in code]
        if all(importlib.util.find_spec(name) for name in needed):
            printed = run(code)
            if expected:
                assert printed == expected
                compared += 1
    assert compared > 3
