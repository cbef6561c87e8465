"""Makes src/pursuit_client/client.py from async_client.py: the same methods and documentation, without `await`.

python tools/make_client.py [--check]

Needs ruff, which formats the result. With --check nothing is written, and the exit code is 1 where the file is another.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "pursuit_client"
SOURCE, MADE = PACKAGE / "async_client.py", PACKAGE / "client.py"

#: What the file says of itself and its class; each stands once in the source.
WORDS = {
    "The client for programs in asyncio.\n\n`client.py` is made from this file: run `python tools/make_client.py`": (
        "The client for programs that wait for their calls.\n\nMade from `async_client.py` by `python tools/make_client.py`"
    ),
    "Calls a Pursuit server within asyncio. Its methods are those of `Client`, awaited.": (
        "Calls a Pursuit server and waits for its answers. May be used from several threads at once."
    ),
    "such blocks, asynchronous or not.": "such blocks.",
}
TOKENS = {
    r"\[(\w+) async for \1 in (.+?)\]": r"list(\2)",
    r"\basync def ": "def ",
    r"async for ": "for ",
    r"\bawait ": "",
    r"__aenter__": "__enter__",
    r"__aexit__": "__exit__",
    r"aclose": "close",
    r"AsyncGenerator\[Codes, None\]": "Generator[Codes, None, None]",
    r"AsyncGenerator": "Generator",
    r"async_transport": "transport",
    r"Async(Client|Inputs|Transport)": r"\1",
}


def main() -> int:
    """Exit code."""
    text = SOURCE.read_text()
    for words, others in WORDS.items():
        if text.count(words) != 1:
            raise SystemExit(f"{SOURCE.name} holds {text.count(words)} times, not once: {words}")
        text = text.replace(words, others)
    for token, other in TOKENS.items():
        text = re.sub(token, other, text)
    for command in (["check", "--fix", "--select", "I"], ["format"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--quiet", "--no-cache", "--stdin-filename", str(MADE), "-"]
        text = subprocess.run(ruff, input=text, stdout=subprocess.PIPE, text=True, check=True).stdout
    if "--check" not in sys.argv[1:]:
        MADE.write_text(text)
        return 0
    if MADE.read_text() == text:
        return 0
    print(f"{MADE.name} is not what async_client.py makes: run python tools/make_client.py")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
