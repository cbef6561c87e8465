"""overcomplete's MpSAE over a dictionary folder of Pursuit, for the servers beside this file."""

import json
from pathlib import Path

import torch
from overcomplete.sae import MpSAE
from safetensors.torch import load_file


class MpModel:
    """Rows [n, d] → one {"indices", "values"} a row, as Pursuit answers them."""

    def __init__(self, folder, steps, threads):
        torch.set_num_threads(threads)
        encoder = json.loads((Path(folder) / "dictionary.json").read_text())["encoder"]
        tensors = load_file(Path(folder) / "weights.safetensors")
        atoms = tensors["atoms"].float().contiguous()
        self.center = tensors["center"].float() if encoder["center"] else torch.zeros(atoms.shape[1])
        self.sae = MpSAE(atoms.shape[1], atoms.shape[0], k=steps, device="cpu")
        self.sae.dictionary._weights.data = atoms
        self.sae.dictionary.normalization = lambda weights: weights  # the atoms are what they are
        self.sae.eval()

    def encode(self, rows):
        with torch.inference_mode():
            codes = self.sae.encode(rows - self.center)[1]
            row, index = codes.nonzero(as_tuple=True)
            counts = torch.bincount(row, minlength=len(rows)).tolist()
            indices, values = index.split(counts), codes[row, index].split(counts)
            return [{"indices": i.tolist(), "values": v.tolist()} for i, v in zip(indices, values)]

    def encode_requests(self, batch):
        """A batch of requests, each a list of rows, in one pass."""
        codes = self.encode(torch.tensor([row for rows in batch for row in rows], dtype=torch.float32))
        answers, start = [], 0
        for rows in batch:
            answers.append(codes[start : start + len(rows)])
            start += len(rows)
        return answers
