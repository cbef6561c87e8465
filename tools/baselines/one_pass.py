"""One-pass encoders as PyTorch users run them today, timed for tools/bench.

A long-lived process: JSON lines in, one JSON line out for each.

    {"file", "threads", "kind", "settings"}      load encoder_weight [m, d], rows [n, d] and, for jumprelu, threshold [m]
    {"baseline", "batch", "repeats", "codes"}    encode the first `batch` rows into a CSR tensor, `repeats` times, and answer
                                                 the codes of the first `codes` of them

An answer holds {"error"} where a baseline does not work; the process goes on.
"""

import time

from json_lines import answer_lines  # first: it sets stdout aside

import torch
from safetensors.torch import load_file


def saelens(kind, settings, tensors):
    """SAELens' own class, with the encoder's matrix in both places: decoding is not timed."""
    from sae_lens import JumpReLUSAE, JumpReLUSAEConfig, TopKSAE, TopKSAEConfig

    matrix = tensors["encoder_weight"]
    m, d = matrix.shape
    common = {"d_in": d, "d_sae": m, "device": "cpu", "apply_b_dec_to_input": False}
    if kind == "jumprelu":
        sae = JumpReLUSAE(JumpReLUSAEConfig(**common))
        sae.threshold.data = tensors["threshold"]
    else:
        sae = TopKSAE(TopKSAEConfig(**common, k=settings["k"]))
    sae.W_enc.data = matrix.T.contiguous()
    sae.W_dec.data = matrix
    sae.b_enc.data = torch.zeros(m)
    return sae.encode


class Bench:
    def load(self, file, threads, kind, settings):
        torch.set_num_threads(threads)
        tensors = load_file(file)
        self.rows = tensors["rows"].contiguous()
        encode = saelens(kind, settings, tensors)
        self.encoders = {"saelens": encode, "torch.compile": torch.compile(encode)}
        return {"torch": torch.__version__}

    def encode(self, baseline, batch, repeats, codes=0):
        """Microseconds a row of each repeat; the first codes of the last as a CSR triple."""
        encode = self.encoders[baseline]
        rows = self.rows[:batch]
        times = []
        for _ in range(repeats):
            started = time.perf_counter()
            sparse = encode(rows).to_sparse_csr()
            times.append((time.perf_counter() - started) * 1e6 / batch)
        end = int(sparse.crow_indices()[codes])
        return {
            "us_per_row": times,
            "indptr": sparse.crow_indices()[: codes + 1].tolist(),
            "indices": sparse.col_indices()[:end].tolist(),
            "values": sparse.values()[:end].tolist(),
        }

    def answer(self, request):
        return self.load(**request) if "file" in request else self.encode(**request)


def main():
    bench = Bench()
    with torch.no_grad():
        answer_lines(bench.answer)


main()
