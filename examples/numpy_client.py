"""numpy rows in, a scipy sparse matrix out: encode(rows, {"max_atoms": 8}) against a running server."""

import base64
import json
import urllib.request

import numpy as np
from scipy.sparse import csr_matrix

SERVER = "http://127.0.0.1:8080/v1/dictionaries/minilm-wordnet-mp"


def encode(rows: np.ndarray, budget: dict, dictionary: str = SERVER) -> csr_matrix:
    """Codes [n, m] float32 of rows [n, d]; base64 is half the size of numbers written out, and exact."""
    inputs = {"data": base64.b64encode(rows.astype("<f4").tobytes()).decode(), "dtype": "float32", "shape": rows.shape}
    body = json.dumps({"inputs": inputs, "budget": budget, "format": "csr"}).encode()
    request = urllib.request.Request(f"{dictionary}/encode", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        a = json.load(answer)
    return csr_matrix((np.array(a["values"], np.float32), a["indices"], a["indptr"]), shape=a["shape"])


if __name__ == "__main__":
    print(encode(np.random.default_rng(0).standard_normal((4, 384)), {"max_atoms": 8}))
