"""Where a client sends its calls, and with what: checked once, and shown without secrets."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tqdm import tqdm

from .calls import Call, CodePart, Fields
from .codes import Codes
from .errors import Conflict, InvalidRequest, PursuitError, Unavailable
from .retry import Attempts
from .rows import Limits, RowPart
from .types import Edit

if sys.version_info >= (3, 11):
    import httpx2 as httpx
else:
    import httpx

__all__ = ["Connection", "httpx"]

T = TypeVar("T")

# Of a 413, these pass once the rows are sent in smaller parts.
_TOO_LARGE = frozenset({"PURSUIT_TOO_MANY_ROWS", "PURSUIT_BODY_TOO_LARGE", "PURSUIT_ANSWER_TOO_LARGE"})
# RFC 6750, 2.1: other characters would end up in the error of an HTTP library.
_KEY = re.compile(r"[A-Za-z0-9._~+/-]+=*")


@dataclass
class Connection:
    """A server's address, the key for it, and limits of one request. `answered`: whether the server has ever answered."""

    address: str
    headers: dict[str, str] = field(repr=False)
    deadline: float
    in_flight: int
    limits: Limits = field(repr=False)
    answered: bool = False

    @classmethod
    def to(cls, url: str, api_key: str | None, deadline: float, in_flight: int, rows_per_request: int) -> Connection:
        """Raises ValueError where the address or the key cannot be one. No message holds either's secrets."""
        address = url.rstrip("/")
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("url is the address of a server, such as http://127.0.0.1:8080.")
        if "@" in parts.netloc:
            raise ValueError("url holds a user name or a password; leave them out, and give a key as api_key.")
        headers = {"user-agent": "pursuit-client"}
        if api_key is not None:
            if not _KEY.fullmatch(api_key):
                raise ValueError("api_key is empty or holds characters that no key has; is there a space or a line end?")
            headers["authorization"] = f"Bearer {api_key}"
        for name, value in {"deadline": deadline, "in_flight": in_flight, "rows_per_request": rows_per_request}.items():
            if value <= 0:
                raise ValueError(f"{name} is {value}; it must be over 0.")
        return cls(address, headers, deadline, in_flight, Limits(rows_per_request, 8 << 20))

    def request(self, call: Call[Any], left: float, connect: float) -> dict[str, Any]:
        """Arguments of an HTTP library's `request`."""
        return {
            "method": call.method,
            "url": self.address + call.path,
            "params": dict(call.query) or None,
            "headers": dict(call.headers),
            "content": call.body,
            "timeout": httpx.Timeout(left, connect=connect),
        }

    def after_fault(self, attempts: Attempts, call: Call[Any], fault: Exception) -> float:
        """Seconds to wait after a connection that failed. Raises Unavailable where waiting or sending again is wrong."""
        # A connection that was not made carried nothing.
        unmade = isinstance(fault, httpx.ConnectError | httpx.ConnectTimeout)
        if unmade and not self.answered:
            # A restart is waited for; an address that nobody ever answered at is most likely wrong.
            raise Unavailable(f"No server answers at {self.address} ({fault}). Start one there, or check the address.")
        return attempts.after_fault(fault, self.address, call.repeatable or unmade)

    def after_refusal(self, error: InvalidRequest, part: RowPart | CodePart) -> None:
        """Learns that a part is too large for one request. Raises the error where halves of it would be refused, too."""
        takes = re.search(r"rows of (\d+) in", error.detail)
        if error.code == "PURSUIT_WRONG_LENGTH" and isinstance(part, RowPart) and takes:
            # Bare bytes have no width: the server can tell their length only.
            error.code, error.field = "PURSUIT_WRONG_WIDTH", "inputs"
            error.detail = (
                f"The rows are {part.width} wide; this dictionary takes rows of {takes[1]}. Check the model, layer and hook."
            )
        if error.code not in _TOO_LARGE or part.count < 2:
            raise error
        self.limits.rows = min(self.limits.rows, max(1, part.count // 2))


class EncodeJob:
    """Counts and checks the parts of an encode job. `total` is the number of rows, None of a stream."""

    def __init__(self, dictionary: str, total: int | None, fields: Fields, progress: bool | None) -> None:
        if total is not None:
            fields.check(total)
        self._total = total
        self._fields = fields
        self._version = ""
        self._rows = 0
        hidden = None if progress is None else not progress
        delay = 0.5 if progress is None else 0
        self._bar = tqdm(total=total, unit=" rows", unit_scale=True, desc=f"encode {dictionary}", disable=hidden, delay=delay)

    def add(self, codes: Codes) -> Codes:
        """Counts a part. Raises Conflict where the dictionary was replaced since the part before."""
        before = self._version or codes.sha256
        if before != codes.sha256:
            raise Conflict(
                f"{codes.dictionary} was replaced meanwhile: rows before {self._rows} are codes of version {before[:12]}, "
                f"those from it of {codes.sha256[:12]}. Encode all rows again.",
                row=self._rows,
            )
        self._version = before
        self._rows += len(codes)
        self._bar.update(len(codes))
        return codes

    def close(self, whole: bool) -> None:
        """Ends the bar. Of a whole stream it raises ValueError where a list of budgets or targets was longer than the rows."""
        self._bar.close()
        if whole and self._total is None:
            self._fields.check(self._rows)


def check_edits(edits: Iterable[Edit], rows: Iterable[int] | None, count: int) -> None:
    """Raises ValueError where an edit names a row that is not there: once rows are cut into parts, no server can tell."""
    named = [("rows", rows), *((f"edits[{i}].rows", edit.get("rows")) for i, edit in enumerate(edits))]
    for name, numbers in named:
        for row in numbers if numbers is not None else ():
            if not 0 <= row < count:
                raise ValueError(f"{name} names row {row}; there are rows 0 to {count - 1}.")


def read(call: Call[T], content: bytes) -> T:
    """What an answer says. Raises PursuitError where it cannot be read, such as a page of some other server."""
    try:
        return call.read(content)
    except (ValueError, KeyError, TypeError) as fault:
        what = f"{call.method} {call.path} was answered by something that is no Pursuit server: {fault}"
        raise PursuitError(what, status=200) from fault
