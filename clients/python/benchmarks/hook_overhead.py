"""Times a forward pass of 32 tokens bare, recorded (its codes waited for) and steered, on a GPT-2 with random weights.

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
from pursuit_client.torch import Recording, record, steer

DICTIONARY = "minilm-wordnet-mp"
WIDTH, TOKENS, LAYER = 384, 32, "transformer.h.6"


def milliseconds(run):
    """Time of one pass."""
    began = time.perf_counter()
    run()
    return (time.perf_counter() - began) * 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--passes", type=int, default=50)
    parser.add_argument("--threads", type=int, help="of torch; all cores if not given")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    model = GPT2LMHeadModel(GPT2Config(n_embd=WIDTH, n_layer=12, n_head=6)).eval()
    tokens = torch.randint(0, 50_257, (1, TOKENS))
    edits = [{"feature": 1747, "op": "remove"}]
    directions = [{"feature": 1747, "op": "add_direction", "strength": 4}]
    with Client(arguments.url) as client, torch.no_grad():
        hooks = {
            "bare": contextlib.nullcontext,
            "record, 8 atoms": lambda: record(model, LAYER, client, DICTIONARY, max_atoms=8),
            "steer along a direction": lambda: steer(model, LAYER, client, DICTIONARY, directions),
            "steer a coefficient, 8 atoms": lambda: steer(model, LAYER, client, DICTIONARY, edits, budget={"max_atoms": 8}),
        }
        times = {name: [] for name in hooks}
        # In turns, so that what else the machine does meets all alike. The first turn warms up.
        for turn in range(arguments.passes + 1):
            for name, hook in hooks.items():
                with hook() as hooked:
                    took = milliseconds(lambda: model(tokens))
                    if isinstance(hooked, Recording):
                        took += milliseconds(lambda: hooked.calls)
                if turn > 0:
                    times[name].append(took)
    print(f"{TOKENS} tokens, 12 layers of {WIDTH}, {arguments.passes} passes, torch on {torch.get_num_threads()} threads")
    print(f"{'forward pass':30} {'best ms':>8} {'more':>8} {'median ms':>10} {'more':>8}")
    for name, took in times.items():
        best, median = min(took), statistics.median(took)
        more = best - min(times["bare"]), median - statistics.median(times["bare"])
        print(f"{name:30} {best:8.1f} {more[0]:8.1f} {median:10.1f} {more[1]:8.1f}")


if __name__ == "__main__":
    main()
