"""One job, 200,000 rows of 384 to 8 atoms: by the client, by encode-files, and by loops of SAELens and overcomplete.

npm run build
pip install ./clients/python sae-lens overcomplete
python clients/python/benchmarks/beside_libraries.py [--rows 200000] [--library-rows 8192]

The server, encode-files and the libraries use the same atoms on every core, one after another. The libraries' loops are what
their users write: batches of 256 rows, the codes made sparse and kept. They run over --library-rows of the rows, because all
would take minutes. Memory is the peak of the process that holds the rows, plus the server's beside the client.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[3]
CLI = ROOT / "dist" / "cli" / "pursuit.js"
DICTIONARY, WIDTH, ATOMS, BATCH = "minilm-wordnet-mp", 384, 8, 256


def unit_rows(count):
    random = np.random.default_rng(0)
    rows = random.standard_normal((count, WIDTH), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


class Memory:
    """Peak resident MiB of a process and its children, looked at ten times a second. Linux."""

    def __init__(self, pid):
        self.peak = 0
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self):
        while not self._ended.wait(0.1):
            try:
                self.peak = max(self.peak, sum(map(resident, [self._pid, *children(self._pid)])))
            except (FileNotFoundError, ProcessLookupError):
                return

    def stop(self):
        self._ended.set()
        self._thread.join()
        return self.peak


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def resident(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0


def by_client(path):
    """In a process of its own, so that its memory is known: this script with --client."""
    server = subprocess.Popen(
        ["node", CLI, "serve", "--port", "0"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    for line in server.stdout:
        if " at http:" in line:
            url = line.split(" at ")[1].split()[0].rstrip("/")
            break
    threading.Thread(target=server.stdout.read, daemon=True).start()
    memory = Memory(server.pid)
    said = subprocess.run([sys.executable, __file__, "--client", url, path], capture_output=True, text=True, check=True).stdout
    server_peak = memory.stop()
    server.terminate()
    server.wait()
    seconds, own = json.loads(said)
    return seconds, f"{own:.0f} + {server_peak:.0f} MiB"


def run_client(url, path):
    from pursuit_client import Client

    rows = np.load(path, mmap_mode="r")
    with Client(url, in_flight=4) as client:
        client.encode(DICTIONARY, np.array(rows[:4096]), max_atoms=ATOMS)
        began = time.perf_counter()
        codes = client.encode(DICTIONARY, rows, progress=False, max_atoms=ATOMS)
        seconds = time.perf_counter() - began
    if codes.shape[0] != len(rows):
        raise ArithmeticError(f"{codes.shape[0]} codes of {len(rows)} rows")
    print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def by_files(path, out):
    command = ["node", CLI, "encode-files", path, "--dictionary", DICTIONARY, "--max-atoms", str(ATOMS), "--out", out]
    job = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    memory = Memory(job.pid)
    done = json.loads(job.stdout.read().splitlines()[-1])
    job.wait()
    return done["rows"] / done["rows_per_second"], f"{memory.stop():.0f} MiB"


def saelens(atoms):
    from sae_lens import MatchingPursuitSAE, MatchingPursuitSAEConfig

    config = MatchingPursuitSAEConfig(
        d_in=atoms.shape[1],
        d_sae=atoms.shape[0],
        residual_threshold=0,
        max_iterations=ATOMS,
        stop_on_duplicate_support=False,
        apply_b_dec_to_input=False,
    )
    sae = MatchingPursuitSAE(config)
    sae.W_dec.data = atoms
    return sae.encode


def overcomplete(atoms):
    from overcomplete.sae import MpSAE

    sae = MpSAE(atoms.shape[1], atoms.shape[0], k=ATOMS)
    sae.dictionary._weights.data = atoms
    sae.dictionary.normalization = lambda weights: weights  # eval() would normalise: the atoms must stay ours
    sae.eval()
    return lambda rows: sae.encode(rows)[1]


def run_library(name, path, count):
    """In a process of its own: this script with --library."""
    import torch
    from safetensors.torch import load_file

    weights = load_file(ROOT / "models" / DICTIONARY / "weights.safetensors")
    rows = torch.from_numpy(np.array(np.load(path, mmap_mode="r")[:count])) - weights["center"].float()
    codes = []
    with torch.no_grad():
        encode = {"saelens": saelens, "overcomplete": overcomplete}[name](weights["atoms"].float().contiguous())
        encode(rows[:BATCH])
        began = time.perf_counter()
        for first in range(0, count, BATCH):
            codes.append(encode(rows[first : first + BATCH]).to_sparse_csr())
        seconds = time.perf_counter() - began
    print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def main():
    if sys.argv[1:2] == ["--client"]:
        return run_client(*sys.argv[2:])
    if sys.argv[1:2] == ["--library"]:
        name, path, count = sys.argv[2:]
        return run_library(name, path, int(count))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--library-rows", type=int, default=8192)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        path = str(Path(scratch) / "rows.npy")
        np.save(path, unit_rows(arguments.rows))
        print(f"{arguments.rows} rows of {WIDTH} to {ATOMS} atoms of {DICTIONARY}; libraries: {arguments.library_rows} of them")
        print(f"{'':20}{'rows/s':>10}  memory")

        def show(name, count, seconds, memory):
            print(f"{name:20}{count / seconds:>10,.0f}  {memory}", flush=True)

        show("client + server", arguments.rows, *by_client(path))
        show("encode-files", arguments.rows, *by_files(path, str(Path(scratch) / "codes")))
        for name in ("saelens", "overcomplete"):
            command = [sys.executable, __file__, "--library", name, path, str(arguments.library_rows)]
            found = subprocess.run(command, capture_output=True, text=True, check=False)
            if found.returncode != 0:
                print(f"{name:20}   does not work here: {found.stderr.strip().splitlines()[-1]}")
                continue
            seconds, peak = json.loads(found.stdout.splitlines()[-1])
            show(name, arguments.library_rows, seconds, f"{peak:.0f} MiB")
    return None


if __name__ == "__main__":
    main()
