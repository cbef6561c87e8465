"""examples/notebook.ipynb, cell by cell in one namespace, as a kernel runs it."""

import ast
import json

import numpy as np
from conftest import ROOT

NOTEBOOK = ROOT / "examples" / "notebook.ipynb"


def test_every_cell_runs(server, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PURSUIT_URL", server.url)
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(sources) >= 8
    names = {"__name__": "__main__"}
    shown = []
    for number, source in enumerate(sources):
        tree = ast.parse(source, f"cell {number}")
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, f"cell {number}", "exec"), names)
        if last is not None:
            shown.append(eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names))
    assert shown[0] == (384, 4096, "matching_pursuit")
    assert names["codes"].shape == (64, 4096)
    # The curve falls, and its end is the code's own error.
    assert (np.diff(names["curve"], axis=1) <= 1e-5).all()
    assert np.allclose(names["curve"][:, -1], names["codes"].residual_norm, rtol=1e-4)
    assert (names["adaptive"].relative_error <= 0.5 + 1e-6).all()
    # The feature is there before it is removed, and gone after.
    assert shown[-2][:2] == (True, False)
    printed = capsys.readouterr().out
    assert "16 atoms: mean relative error" in printed


def test_it_is_kept_without_outputs():
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
