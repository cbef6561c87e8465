"""Locks Python requirements by hash: each FILE.in becomes FILE.txt, which pip then checks by itself.

    pip install uv && python tools/lock-python.py                      all *requirements*.in below tools/
    python tools/lock-python.py --upgrade tools/train/requirements.in  the newest versions that the file allows

The locks are for Linux on x86-64 and Python 3.11, which the tools were run with. They hold PyPI's build of torch and the
CUDA libraries that it needs. Where the CPU build of torch is installed already, leave those out:

    grep -vE '^(torch|triton|nvidia|cuda)' requirements.txt | pip install --no-deps -r /dev/stdin
"""
import subprocess, sys, tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ["--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_28"]


def lock(source: Path, upgrade: bool) -> None:
    """Resolves a file of requirements, keeping versions that are locked already unless told to upgrade."""
    target = source.with_suffix(".txt")
    kept = ["--constraints", str(target)] if target.exists() and not upgrade else []
    command = ["uv", "pip", "compile", "--quiet", "--format", "pylock.toml", *TARGET, *kept, str(source)]
    packages = tomllib.loads(subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout)["packages"]
    lines = [f"# Made from {source.name} by tools/lock-python.py. Do not edit."]
    for package in packages:
        files = package.get("wheels") or [package["sdist"]]
        hashes = "".join(f" --hash=sha256:{digest}" for digest in sorted(file["hashes"]["sha256"] for file in files))
        lines.append(f"{package['name']}=={package['version']}{hashes}")
    target.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    given = [Path(argument) for argument in arguments if argument != "--upgrade"]
    for source in given or sorted((ROOT / "tools").rglob("*requirements*.in")):
        lock(source, "--upgrade" in arguments)
