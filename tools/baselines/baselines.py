"""Matching pursuit as PyTorch users run it today, timed for tools/bench.

A long-lived process, so that PyTorch is imported once: JSON lines in, one JSON line out for each.

    {"file", "threads", "device"}                        load atoms [m, d] and rows [n, d] (already centred)
    {"baseline", "steps", "batch", "repeats", "codes"}      encode the first `batch` rows in one call, `repeats` times, and
                                                         answer the codes of the first `codes` of them
    {"read_mib", "repeats", "device"}                    read bandwidth of a CUDA card, by a float32 sum

An answer holds {"error"} where a baseline does not work; the process goes on.
"""

import time

from json_lines import answer_lines  # first: it sets stdout aside

import torch
from safetensors.torch import load_file


def overcomplete(atoms, steps, device):
    """overcomplete's MpSAE, in eval mode: its dictionary as it is. Signed scores, repeats add."""
    from overcomplete.sae import MpSAE

    sae = MpSAE(atoms.shape[1], atoms.shape[0], k=steps, device=device)
    sae.dictionary._weights.data = atoms
    sae.dictionary.normalization = lambda weights: weights  # eval() would normalise: the atoms must stay ours
    sae.eval()
    return lambda rows: sae.encode(rows)[1]


def saelens(atoms, steps, device):
    """SAELens' matching_pursuit with both of its stops off, so that every row makes all steps. ReLU scores."""
    from sae_lens import MatchingPursuitSAE, MatchingPursuitSAEConfig

    config = MatchingPursuitSAEConfig(
        d_in=atoms.shape[1],
        d_sae=atoms.shape[0],
        device=device,
        residual_threshold=0,
        max_iterations=steps,
        stop_on_duplicate_support=False,
        apply_b_dec_to_input=False,
    )
    sae = MatchingPursuitSAE(config)
    sae.W_dec.data = atoms
    return sae.encode


def compiled(atoms, steps, device):
    """torch.compile of SAELens' loop: what a user who wants speed out of PyTorch does next. Wants a C++ compiler."""
    return torch.compile(saelens(atoms, steps, device))


BASELINES = {"overcomplete": overcomplete, "saelens": saelens, "torch.compile": compiled}


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


class Bench:
    def __init__(self):
        self.device = "cpu"
        self.encoders = {}

    def load(self, file, threads, device="cpu"):
        torch.set_num_threads(threads)
        self.device = device
        tensors = load_file(file, device=device)
        self.atoms, self.rows = tensors["atoms"].contiguous(), tensors["rows"].contiguous()
        self.encoders = {}
        card = torch.cuda.get_device_name(0) if device == "cuda" else None
        return {"torch": torch.__version__, "card": card}

    def encode(self, baseline, steps, batch, repeats, codes=0):
        """Microseconds a row of each repeat; the first codes of the last as a CSR triple."""
        if batch > len(self.rows):
            raise ValueError(f"a batch of {batch}, but {len(self.rows)} rows were loaded")
        if (baseline, steps) not in self.encoders:
            self.encoders[baseline, steps] = BASELINES[baseline](self.atoms, steps, self.device)
        encode = self.encoders[baseline, steps]
        rows = self.rows[:batch]
        times = []
        for _ in range(repeats):
            synchronize(self.device)
            started = time.perf_counter()
            found = encode(rows)
            synchronize(self.device)
            times.append((time.perf_counter() - started) * 1e6 / batch)
        sparse = found[:codes].cpu().to_sparse_csr()
        return {
            "us_per_row": times,
            "indptr": sparse.crow_indices().tolist(),
            "indices": sparse.col_indices().tolist(),
            "values": sparse.values().tolist(),
        }

    def read(self, read_mib, repeats, device):
        """Bytes a second of each of `repeats` sums over a buffer that no cache holds. On CPU tools/bench measures it."""
        buffer = torch.ones(read_mib * 2**18, device=device)
        rates = []
        for _ in range(repeats):
            synchronize(device)
            started = time.perf_counter()
            total = buffer.sum().item()
            synchronize(device)
            rates.append(read_mib * 2**20 / (time.perf_counter() - started))
            if total != buffer.numel():
                raise ArithmeticError(f"{buffer.numel()} ones add up to {total}")
        return {"bytes_per_s": rates}

    def answer(self, request):
        if "file" in request:
            return self.load(**request)
        if "read_mib" in request:
            return self.read(**request)
        return self.encode(**request)


def main():
    bench = Bench()
    with torch.no_grad():
        answer_lines(bench.answer)


main()
