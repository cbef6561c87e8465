"""Encodes many rows from a generator with a running server: rows a second, and how much memory the client takes for them.

pip install ./clients/python
npm start
python clients/python/benchmarks/many_rows.py [--url http://127.0.0.1:8080] [--rows 200000] [--in-flight 4]
"""

import argparse
import resource
import time

import numpy as np

from pursuit_client import Client

DICTIONARY, WIDTH, BLOCK = "minilm-wordnet-mp", 384, 4096


def blocks(rows):
    """Unit rows of random directions, a block at a time."""
    random = np.random.default_rng(0)
    for first in range(0, rows, BLOCK):
        block = random.standard_normal((min(BLOCK, rows - first), WIDTH), np.float32)
        yield block / np.linalg.norm(block, axis=1, keepdims=True)


def megabytes():
    """Peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--in-flight", type=int, default=4)
    arguments = parser.parse_args()
    with Client(arguments.url, in_flight=arguments.in_flight) as client:
        for _ in client.encode_parts(DICTIONARY, blocks(8 * BLOCK), max_atoms=8):
            pass
        before, began, done = megabytes(), time.perf_counter(), 0
        for codes in client.encode_parts(DICTIONARY, blocks(arguments.rows), max_atoms=8):
            done += len(codes)
        seconds = time.perf_counter() - began
    print(f"{done} rows of {WIDTH}, 8 atoms, {arguments.in_flight} requests in flight: {done / seconds:,.0f} rows a second")
    print(f"client: {megabytes():.0f} MiB at most, {megabytes() - before:.0f} MiB more than for {8 * BLOCK} rows")


if __name__ == "__main__":
    main()
