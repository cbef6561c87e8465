"""When a call is sent again, and for how long."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping

from .errors import PursuitError, Unavailable, error_of

# What a proxy or a load balancer answers while no server is behind it. Pursuit's own refusals carry `retry-after`.
_PASSING = frozenset({408, 429, 502, 503, 504})
_LONGEST_PAUSE = 5.0
_CONNECT_SECONDS = 10.0


class Attempts:
    """The tries of one call. `deadline` is seconds in all, waits included."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._ends = time.monotonic() + deadline
        self._failures = 0

    @property
    def left(self) -> float:
        """Seconds that are left, at least a thousandth: zero means no limit to some HTTP libraries."""
        return max(0.001, self._ends - time.monotonic())

    @property
    def connect(self) -> float:
        """Seconds that connecting may take."""
        return min(_CONNECT_SECONDS, self.left)

    def after_answer(self, status: int, headers: Mapping[str, str], content: bytes, first_row: int) -> float:
        """Seconds to wait after an answer that is not a success. Raises its error where waiting does not help."""
        asked = _retry_after(headers)
        passing = asked is not None or (status in _PASSING and b'"PURSUIT_' not in content[:1000])
        error = error_of(status, headers, content, first_row=first_row, may_retry=passing)
        if not passing:
            raise error
        return self._pause(error, asked)

    def after_fault(self, fault: Exception, address: str, may_retry: bool) -> float:
        """Seconds to wait after a connection that failed. Raises Unavailable where the call must not be sent twice."""
        what = str(fault) or type(fault).__name__
        error = Unavailable(f"No whole answer came from {address}: {what}.")
        if not may_retry:
            raise error
        return self._pause(error, None)

    def _pause(self, error: PursuitError, asked: float | None) -> float:
        self._failures += 1
        backoff = min(_LONGEST_PAUSE, 0.05 * 2**self._failures)
        # Clients that were refused together must not come back together.
        pause = asked * random.uniform(1, 1.2) if asked is not None else backoff * random.uniform(0.5, 1)
        if time.monotonic() + pause >= self._ends:
            error.detail += f" Gave up after {self._failures} tries within the deadline of {self._deadline:g} s."
            raise error
        return pause


def _retry_after(headers: Mapping[str, str]) -> float | None:
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit)
        except (KeyError, ValueError):  # a date is allowed, too, but says no more than our own pause
            continue
    return None
