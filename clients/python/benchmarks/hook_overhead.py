"""Times a forward pass of 32 tokens bare, recorded and steered, on a GPT-2 with random weights.

pip install ./clients/python torch transformers
npm start
python clients/python/benchmarks/hook_overhead.py [--url http://127.0.0.1:8080] [--passes 50]
"""

import argparse
import contextlib
import statistics
import time

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from pursuit_client import Client
from pursuit_client.torch import record, steer

DICTIONARY = "minilm-wordnet-mp"
WIDTH, TOKENS, LAYER = 384, 32, "transformer.h.6"


def milliseconds(run, passes):
    """Median time of one pass, and that of its slowest tenth."""
    run()
    times = []
    for _ in range(passes):
        began = time.perf_counter()
        run()
        times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times), statistics.quantiles(times, n=10)[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--passes", type=int, default=50)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(n_embd=WIDTH, n_layer=12, n_head=6)).eval()
    tokens = torch.randint(0, 50_257, (1, TOKENS))
    edits = [{"feature": 1747, "op": "remove"}]
    directions = [{"feature": 1747, "op": "add_direction", "strength": 4}]
    with Client(arguments.url) as client, torch.no_grad():
        hooks = {
            "bare": contextlib.nullcontext(),
            "record, 8 atoms": record(model, LAYER, client, DICTIONARY, max_atoms=8),
            "steer along a direction": steer(model, LAYER, client, DICTIONARY, directions),
            "steer a coefficient, 8 atoms": steer(model, LAYER, client, DICTIONARY, edits, budget={"max_atoms": 8}),
        }
        print(f"{TOKENS} tokens, 12 layers of {WIDTH}, {arguments.passes} passes, torch on {torch.get_num_threads()} threads")
        print(f"{'forward pass':30} {'median ms':>10} {'p90 ms':>8} {'more ms':>8}")
        base = None
        for name, hook in hooks.items():
            with hook:
                median, slow = milliseconds(lambda: model(tokens), arguments.passes)
            base = median if base is None else base
            print(f"{name:30} {median:10.1f} {slow:8.1f} {median - base:8.1f}")


if __name__ == "__main__":
    main()
