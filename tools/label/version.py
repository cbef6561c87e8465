"""The version of a dictionary folder, as Pursuit's `sha256` names it (docs/import.md, On disk)."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

USED = {
    "matching_pursuit": {"atoms", "center"},
    "topk": {"atoms", "center", "encoder_bias", "encoder_weight"},
}


def version_of(folder: Path) -> str:
    """Numbers among the settings must be integers: Python writes others differently than RFC 8785 asks."""
    manifest = json.loads((folder / "dictionary.json").read_text(encoding="utf-8"))
    kind, d, m = manifest["kind"], manifest["d"], manifest["m"]
    widths = {"d_in": d, "d_out": d, "m": m}
    digest = hashlib.sha256(canonical({"kind": kind, "role": "autoencoder", "widths": widths, "encoder": manifest["encoder"]}))
    content = (folder / "weights.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    for name in sorted(USED[kind] & header.keys()):
        tensor = header[name]
        begin, end = tensor["data_offsets"]
        digest.update(canonical({"name": name, "dtype": tensor["dtype"], "shape": tensor["shape"]}))
        digest.update(content[8 + length + begin : 8 + length + end])
    return digest.hexdigest()


def canonical(value: dict) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
