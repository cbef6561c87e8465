"""Turns a PyTorch file of weights into safetensors, offline, so that `pursuit import` can read it.

    python torch_to_safetensors.py model.pt [model.safetensors] [--key state_dict]

Needs torch and safetensors (requirements.txt beside this file). The file is read with weights_only=True, which runs no
code. A whole pickled module (torch.save(model)) cannot be read that way: `--unsafe-pickle` reads it all the same and
takes its state_dict(). Do that only with a file that you made yourself.
"""

from __future__ import annotations

import argparse
import pickle
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path, nargs="?", help="by default beside the source, ending in .safetensors")
    parser.add_argument("--key", help="entry of the file that holds the state dict, such as model_state_dict")
    parser.add_argument("--unsafe-pickle", action="store_true", help="read a whole pickled module; runs the code in it")
    parser.add_argument("--force", action="store_true", help="overwrite the target")
    arguments = parser.parse_args()
    target = arguments.target or arguments.source.with_suffix(".safetensors")
    if target.exists() and not arguments.force:
        sys.exit(f"{target} exists already; name another target or say --force.")

    tensors = state_dict(load(arguments.source, unsafe=arguments.unsafe_pickle), arguments.key)
    # contiguous() also parts tensors that share memory, which safetensors refuses.
    save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, target)
    for name, tensor in tensors.items():
        print(f"{name}  {list(tensor.shape)}  {tensor.dtype}")
    print(f"\nWritten to {target}. Import it:  npx pursuit import {target}")


def load(path: Path, *, unsafe: bool) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=not unsafe)
    except FileNotFoundError:
        sys.exit(f"{path} does not exist.")
    except (pickle.UnpicklingError, RuntimeError) as error:
        sys.exit(
            f"{path} cannot be read as plain weights: {str(error).splitlines()[0]}\n"
            "If it is a whole pickled module that you made yourself, say --unsafe-pickle where its code can be imported."
        )


def state_dict(loaded: object, key: str | None) -> dict[str, torch.Tensor]:
    if isinstance(loaded, torch.nn.Module):
        loaded = loaded.state_dict()
    if isinstance(loaded, torch.Tensor):
        return {"atoms": loaded}
    if not isinstance(loaded, dict):
        sys.exit(f"The file holds a {type(loaded).__name__}, not a dict of tensors.")
    if key is not None:
        if key not in loaded:
            sys.exit(f"The file holds no {key}; it holds {', '.join(map(str, loaded))}.")
        return state_dict(loaded[key], None)
    tensors = {str(name): value for name, value in loaded.items() if isinstance(value, torch.Tensor)}
    nested = [str(name) for name, value in loaded.items() if isinstance(value, dict)]
    if not tensors:
        sys.exit(f"The file holds no tensors at its top. Name the entry that does: --key {' | '.join(nested) or '…'}")
    return tensors


if __name__ == "__main__":
    main()
