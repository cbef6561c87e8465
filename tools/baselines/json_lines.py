"""A process that answers requests one by one, as lines of JSON. Imported first: what a library prints must not end up
between the answers."""

import json
import sys

_ANSWERS = sys.stdout
sys.stdout = sys.stderr


def answer_lines(answer):
    """Answers each line of stdin with what `answer` makes of it, or with {"error"}, until there are no more."""
    for line in sys.stdin:
        try:
            answered = answer(json.loads(line))
        except Exception as error:  # whatever a baseline throws is an answer, not an end
            answered = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        print(json.dumps(answered), file=_ANSWERS, flush=True)
