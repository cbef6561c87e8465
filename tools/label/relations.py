"""What WordNet says of a synset beside its gloss: its place in the hierarchy and its lexicographer file.

The data files are those of wndb(5WN); names of lexicographer files are those of lexnames(5WN).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "train"))
from wordnet import PARTS_OF_SPEECH  # noqa: E402

LEXICOGRAPHER_FILES = (
    "adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact noun.attribute noun.body noun.cognition "
    "noun.communication noun.event noun.feeling noun.food noun.group noun.location noun.motive noun.object noun.person "
    "noun.phenomenon noun.plant noun.possession noun.process noun.quantity noun.relation noun.shape noun.state "
    "noun.substance noun.time verb.body verb.change verb.cognition verb.communication verb.competition "
    "verb.consumption verb.contact verb.creation verb.emotion verb.motion verb.perception verb.possession verb.social "
    "verb.stative verb.weather adj.ppl"
).split()

# @ hypernym, @i instance hypernym, & similar to: a satellite adjective hangs under its head.
UPWARD = {"@", "@i", "&"}
POS_OF_LETTER = {"n": "noun", "v": "verb", "a": "adj", "s": "adj", "r": "adv"}


@dataclass(frozen=True)
class Node:
    """A synset: `key` is "noun:00001740", `parents` are keys, the first one the nearest sense of it."""

    key: str
    lemma: str
    definition: str
    lexfile: str
    parents: tuple[str, ...]


class Hierarchy:
    """Every synset, in the order of tools/train/wordnet.py's sentences."""

    def __init__(self, dict_folder: Path) -> None:
        self.nodes = [node for part in PARTS_OF_SPEECH for node in read_part(dict_folder, part)]
        self.by_key = {node.key: node for node in self.nodes}

    @cached_property
    def ancestors(self) -> dict[str, frozenset[str]]:
        """Each synset's hypernyms of every degree and itself. Satellites are similar to each other: a loop is cut."""
        found: dict[str, frozenset[str]] = {}

        def of(key: str, path: frozenset[str]) -> frozenset[str]:
            if key in found:
                return found[key]
            own = {key}
            for parent in self.by_key[key].parents:
                if parent in self.by_key and parent not in path:
                    own |= of(parent, path | {key})
            found[key] = frozenset(own)
            return found[key]

        for node in self.nodes:
            of(node.key, frozenset())
        return found

    @cached_property
    def depth(self) -> dict[str, int]:
        """Steps up to a root by the first parent: "entity" is 0."""
        found: dict[str, int] = {}
        for node in self.nodes:
            chain, key = [], node.key
            while key in self.by_key and key not in found and key not in chain:
                chain.append(key)
                parents = self.by_key[key].parents
                key = parents[0] if parents else ""
            base = found.get(key, -1)
            for steps, one in enumerate(reversed(chain), start=1):
                found[one] = base + steps
        return found


def read_part(dict_folder: Path, part: str) -> list[Node]:
    nodes = []
    with open(dict_folder / f"data.{part}", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("  "):
                continue
            fields, _, gloss = line.partition(" | ")
            words = fields.split()
            offset, lexfile, letter, count = words[0], int(words[1]), words[2], int(words[3], 16)
            at = 4 + 2 * count
            pointers = [words[at + 1 + 4 * i : at + 5 + 4 * i] for i in range(int(words[at]))]
            # Only a satellite hangs under another adjective; a head's & points down to its satellites.
            upward = UPWARD if letter == "s" else UPWARD - {"&"}
            parents = tuple(f"{POS_OF_LETTER[pos]}:{to}" for symbol, to, pos, _ in pointers if symbol in upward)
            lemma = words[4].split("(")[0].replace("_", " ")
            definition = gloss.strip().split('; "')[0].strip()
            nodes.append(Node(f"{part}:{offset}", lemma, definition, LEXICOGRAPHER_FILES[lexfile], parents))
    return nodes
