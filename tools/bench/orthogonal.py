"""SPAMS, scikit-learn and batched-omp at the shape of tools/bench/orthogonal.ts, in microseconds a row (the best of three).

    pip install numpy torch scikit-learn spams-bin==2.6.14 orthogonal-matching-pursuit-gpu==0.1.3
    python tools/bench/orthogonal.py

SPAMS multiplies the dictionary with itself at every call, which is why it gets cheaper by the batch; it cannot be given
the matrix. batched-omp is the package that was renamed orthogonal-matching-pursuit-gpu; the matrix is made beforehand.
"""

from __future__ import annotations

import time

import numpy as np
import orthogonal_matching_pursuit_gpu as batched_omp
import spams
import torch
from sklearn.linear_model import orthogonal_mp_gram

D, M, ATOMS, THREADS = 768, 4096, 32, 2


def measure(name: str, count: int, run, runs: int = 3) -> None:
    best = np.inf
    for _ in range(runs):
        started = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - started)
    print(f"{name:13} {count:5} {best / count * 1e6:10.1f}", flush=True)


def main() -> None:
    torch.set_num_threads(THREADS)
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((M, D)).astype(np.float32)
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    columns = np.asfortranarray(atoms.T)
    gram = atoms @ atoms.T
    print(f"rival         batch   µs a row   ({THREADS} threads)")
    for count in (64, 512, 2048):
        rows = rng.standard_normal((count, D)).astype(np.float32)
        measure("SPAMS", count, lambda rows=np.asfortranarray(rows.T): spams.omp(rows, columns, L=ATOMS, numThreads=THREADS))
    rows = rng.standard_normal((64, D)).astype(np.float32)
    measure("scikit-learn", 64, lambda: orthogonal_mp_gram(gram, atoms @ rows.T, n_nonzero_coefs=ATOMS), runs=1)
    wide = [torch.from_numpy(array) for array in (columns.copy(), rows, gram)]
    measure("batched-omp", 64, lambda: batched_omp.omp_v0(wide[0], wide[1], wide[2], n_nonzero_coefs=ATOMS), runs=1)


if __name__ == "__main__":
    main()
