"""The binary codecs by their own libraries: octet-stream to safetensors, msgpack both ways, lines of JSON.

    pip install numpy scipy msgpack safetensors
    python examples/wire_client.py
"""

import json
import sys
import urllib.request

import msgpack
import numpy as np
import safetensors.numpy
from scipy.sparse import csr_matrix

SERVER = "http://127.0.0.1:8080/v1/dictionaries/minilm-wordnet-mp"


def post(path: str, body: bytes, content_type: str, accept: str) -> bytes:
    headers = {"content-type": content_type, "accept": accept}
    with urllib.request.urlopen(urllib.request.Request(path, body, headers)) as answer:
        return answer.read()


def by_bytes(rows: np.ndarray, url: str) -> csr_matrix:
    query = f"dtype=float32&rows={len(rows)}&max_atoms=8"
    body = rows.astype("<f4").tobytes()
    t = safetensors.numpy.load(
        post(f"{url}/encode?{query}", body, "application/octet-stream", "application/vnd.safetensors")
    )
    return csr_matrix((t["values"], t["indices"], t["indptr"]))


def by_msgpack(rows: np.ndarray, url: str) -> csr_matrix:
    inputs = {"data": rows.astype("<f4").tobytes(), "dtype": "float32", "shape": rows.shape}
    body = msgpack.packb({"inputs": inputs, "budget": {"max_atoms": 8}})
    a = msgpack.unpackb(post(f"{url}/encode", body, "application/msgpack", "application/msgpack"))
    column = lambda name: np.frombuffer(a[name]["data"], a[name]["dtype"])  # noqa: E731
    return csr_matrix((column("values"), column("indices"), column("indptr")), shape=a["shape"])


def by_lines(rows: np.ndarray, url: str) -> csr_matrix:
    body = "\n".join(json.dumps(row.tolist()) for row in rows.astype(np.float32)).encode()
    text = post(f"{url}/encode?max_atoms=8", body, "application/x-ndjson", "application/x-ndjson")
    codes = [json.loads(line) for line in text.splitlines()]
    indptr = np.cumsum([0] + [code["atoms"] for code in codes])
    values = np.array([value for code in codes for value in code["values"]], np.float32)
    return csr_matrix((values, [index for code in codes for index in code["indices"]], indptr))


if __name__ == "__main__":
    url = sys.argv[1] if len(sys.argv) > 1 else SERVER
    rows = np.random.default_rng(0).standard_normal((64, 384)).astype(np.float32)
    first, *others = [encode(rows, url) for encode in (by_bytes, by_msgpack, by_lines)]
    for other in others:
        assert np.array_equal(first.indptr, other.indptr)
        assert np.array_equal(first.indices, other.indices)
        assert np.array_equal(first.data.view("<u4"), other.data.view("<u4"))
    print(f"{len(rows)} rows, {first.nnz} atoms: the same by bytes, msgpack and lines, bit for bit")
