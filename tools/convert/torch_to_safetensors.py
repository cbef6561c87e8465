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
    parser.add_argument("--key", help="entry that holds the state dict, such as model_state_dict, or a.b for one in another")
    parser.add_argument("--unsafe-pickle", action="store_true", help="read a whole pickled module; runs the code in it")
    parser.add_argument("--force", action="store_true", help="overwrite the target")
    arguments = parser.parse_args()
    target = arguments.target or arguments.source.with_suffix(".safetensors")
    if target.exists() and not arguments.force:
        sys.exit(f"{target} exists already; name another target or say --force.")

    keys = arguments.key.split(".") if arguments.key else []
    tensors = state_dict(load(arguments.source, unsafe=arguments.unsafe_pickle), keys)
    sparse = [name for name, tensor in tensors.items() if tensor.layout != torch.strided]
    if sparse:
        sys.exit(f"{', '.join(sparse)}: sparse tensors are not converted; save them as tensor.to_dense().")
    # contiguous() also parts tensors that share memory, which safetensors refuses.
    save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, target)
    for name, tensor in tensors.items():
        print(f"{name}  {list(tensor.shape)}  {tensor.dtype}")
    print(f"\nWritten to {target}. Import it:  npx pursuit import {target}")


def load(path: Path, *, unsafe: bool) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=not unsafe)
    except OSError as error:
        sys.exit(f"{path} cannot be read: {error.strerror}.")
    except pickle.UnpicklingError as error:
        if unsafe:
            sys.exit(f"{path} cannot be read: {str(error).splitlines()[0]}")
        sys.exit(
            f"{path} holds more than plain weights, such as a whole pickled module, so it is not read: that would run its code.\n"
            "If you made it yourself, say --unsafe-pickle where its code can be imported."
        )
    # What a damaged pickle ends in is any error of the unpickler.
    except Exception as error:  # noqa: BLE001
        sys.exit(f"{path} is no file of torch.save, or cannot be read here: {type(error).__name__} {error}")


def state_dict(loaded: object, keys: list[str]) -> dict[str, torch.Tensor]:
    if isinstance(loaded, torch.nn.Module):
        loaded = loaded.state_dict()
    if isinstance(loaded, torch.Tensor):
        return {"atoms": loaded}
    if not isinstance(loaded, dict):
        sys.exit(f"The file holds a {type(loaded).__name__}, not a dict of tensors.")
    if keys:
        key, *inner = keys
        if key not in loaded:
            sys.exit(f"The file holds no {key}; it holds {', '.join(map(str, loaded))}.")
        return state_dict(loaded[key], inner)
    tensors = {str(name): value for name, value in loaded.items() if isinstance(value, torch.Tensor)}
    nested = [str(name) for name, value in loaded.items() if isinstance(value, dict | torch.nn.Module)]
    if not tensors:
        sys.exit(f"There are no tensors here. Name the entry that holds them: --key {' | '.join(nested) or '…'}")
    return tensors


if __name__ == "__main__":
    main()
