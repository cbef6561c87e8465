"""Orthogonal matching pursuit as people run it today, timed for tools/bench: SPAMS, scikit-learn, batched-omp.

A long-lived process that speaks as baselines.py does: JSON lines in, one JSON line out for each.

    {"file", "threads", "device"}                   load atoms [m, d] and rows [n, d]
    {"baseline", "steps", "batch", "repeats", "codes"} code the first `batch` rows in one call, `repeats` times, and answer the
                                                    codes of the first `codes` of them
"""

import os
import time

from json_lines import answer_lines  # first: it sets stdout aside

import numpy as np
from safetensors.numpy import load_file


def spams(task, steps):
    """SPAMS multiplies the dictionary with itself at every call: it cannot be given the matrix. Its rule is another."""
    import spams

    columns = np.asfortranarray(task.atoms.T)
    return lambda rows: spams.omp(np.asfortranarray(rows.T), columns, L=steps, numThreads=task.threads).T.tocsr()


def scikit_learn(task, steps):
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import orthogonal_mp_gram

    return lambda rows: csr_matrix(orthogonal_mp_gram(task.gram, task.atoms @ rows.T, n_nonzero_coefs=steps).T)


def batched_omp(task, steps):
    """The package that was renamed orthogonal-matching-pursuit-gpu, on CPU; the matrix is made beforehand."""
    import orthogonal_matching_pursuit_gpu as package
    import torch
    from scipy.sparse import csr_matrix

    torch.set_num_threads(task.threads)
    columns, gram = torch.from_numpy(task.atoms.T.copy()), torch.from_numpy(task.gram)

    def encode(rows):
        sets, solutions, _ = package.omp_v0(columns, torch.from_numpy(rows), gram, n_nonzero_coefs=steps)
        count = len(rows)
        values, indices = solutions.reshape(count, -1).numpy(), sets.numpy()
        starts = np.arange(0, values.size + 1, values.shape[1])
        return csr_matrix((values.ravel(), indices.ravel(), starts), shape=(count, len(task.atoms)))

    return encode


BASELINES = {"SPAMS": spams, "scikit-learn": scikit_learn, "batched-omp": batched_omp}


class Task:
    def __init__(self, file, threads, device="cpu"):
        tensors = load_file(file)
        self.atoms, self.rows, self.threads = tensors["atoms"], tensors["rows"], threads
        self.gram = self.atoms @ self.atoms.T
        self.encoders = {}

    def encode(self, baseline, steps, batch, repeats, codes=0):
        """Microseconds a row of each repeat; the first codes of the last as a CSR triple, indices ascending."""
        if batch > len(self.rows):
            raise ValueError(f"a batch of {batch}, but {len(self.rows)} rows were loaded")
        if (baseline, steps) not in self.encoders:
            self.encoders[baseline, steps] = BASELINES[baseline](self, steps)
        rows = np.ascontiguousarray(self.rows[:batch])
        times = []
        for _ in range(repeats):
            started = time.perf_counter()
            found = self.encoders[baseline, steps](rows)
            times.append((time.perf_counter() - started) * 1e6 / batch)
        found = found[:codes]
        found.sort_indices()
        return {
            "us_per_row": times,
            "indptr": found.indptr.tolist(),
            "indices": found.indices.tolist(),
            "values": found.data.tolist(),
        }


class Bench:
    def __init__(self):
        self.task = None

    def answer(self, request):
        if "file" in request:
            self.task = Task(**request)
            return {"cores": os.cpu_count()}
        return self.task.encode(**request)


def main():
    answer_lines(Bench().answer)


main()
