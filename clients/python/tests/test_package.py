"""What is published: a wheel and a source distribution, typed, in the server's version."""

import json
import subprocess
import sys
import tarfile
import zipfile

import pytest
from conftest import ROOT

import pursuit_client


def test_the_version_is_the_server_s():
    assert pursuit_client.__version__ == json.loads((ROOT / "package.json").read_text())["version"]


def test_wheel_and_source_distribution(tmp_path):
    pytest.importorskip("hatchling")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", tmp_path],
        cwd=ROOT / "clients" / "python",
        check=True,
        capture_output=True,
    )
    [wheel], [source] = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as files:
        names = files.namelist()
        [about] = (files.read(name).decode() for name in names if name.endswith("/METADATA"))
    assert {"pursuit_client/py.typed", "pursuit_client/torch.py"} <= set(names)
    assert not any("test" in name for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "Requires-Python: >=3.10" in about
    with tarfile.open(source) as files:
        assert any(name.endswith("tests/test_package.py") for name in files.getnames())
