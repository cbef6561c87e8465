"""Exceptions of the client. Each carries what the server's problem says (docs/errors.md lists the codes)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

# Details name rows as "Row 3", "Target 3", "row 3", "budget[3]" or "codes[3]". Edits are numbered, too, but are no rows.
_ROW = re.compile(r"\b(Row |Target |row |budget\[|codes\[)(\d+)")
_COLUMN = re.compile(r"\bcolumn (\d+)")
_FIELD = re.compile(r"^(?:There is no field |The field )?([a-z_]+(?:\[\d+\])?(?:\.[a-z_]+(?:\[\d+\])?)*)(?=[ ;:])")
_INPUT_CODES = {"PURSUIT_NOT_FINITE": "inputs", "PURSUIT_WRONG_WIDTH": "inputs", "PURSUIT_NAN_TOKEN": "inputs"}


class PursuitError(Exception):
    """A call that failed.

    `status` and `code` are None where no server answered; `field`, `row` and `column` where the fault names none. `row` counts
    in the rows that you passed, not in the request that they were sent with.
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        code: str | None = None,
        field: str | None = None,
        row: int | None = None,
        column: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.code = code
        self.field = field
        self.row = row
        self.column = column
        self.request_id = request_id

    def __str__(self) -> str:
        about = [str(part) for part in (self.status, self.code) if part is not None]
        if self.request_id is not None:
            about.append(f"request {self.request_id}")
        return f"{self.detail} ({', '.join(about)})" if about else self.detail

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.detail, {name: value for name, value in vars(self).items() if name != "detail"}))


class InvalidRequest(PursuitError, ValueError):
    """The server refuses what was sent (400, 413, 422 and the like). Sending it again does not help."""


class AccessDenied(PursuitError):
    """The key is missing, unknown, or not one for management (401, 403)."""


class NotFound(PursuitError, LookupError):
    """There is no such dictionary, feature, steering set or path (404)."""


class Conflict(PursuitError):
    """The dictionary or the steering set is another one than the call expects (409, 412)."""


class Unavailable(PursuitError):
    """The server refused for now, or no server answered, until the deadline had passed (429, 503 and the like)."""


def _rebuild(kind: type[PursuitError], detail: str, fields: Mapping[str, Any]) -> PursuitError:
    return kind(detail, **fields)


def _class_of(status: int, may_retry: bool) -> type[PursuitError]:
    if status in (401, 403):
        return AccessDenied
    if status == 404:
        return NotFound
    if status in (409, 412):
        return Conflict
    if may_retry or status in (408, 429, 502, 503, 504):
        return Unavailable
    return InvalidRequest if status < 500 else PursuitError


def error_of(
    status: int, headers: Mapping[str, str], content: bytes, *, first_row: int = 0, may_retry: bool = False
) -> PursuitError:
    """Makes the exception of an answer that is not a success.

    `first_row` is the number of the request's first row in the caller's rows.
    """
    problem = _problem(content)
    detail = problem.get("detail") or problem.get("error")
    if not isinstance(detail, str):
        said = content[:200].decode(errors="replace").strip()
        detail = f"The server answered {status}" + (f": {said}" if said else ".")
        if 300 <= status < 400:
            detail = f"The server answered {status} and points elsewhere; give the client the address that it points to."
    code = problem.get("code")
    row, column = _ROW.search(detail), _COLUMN.search(detail)
    field = problem.get("field")
    if field is None:
        found = _FIELD.match(detail)
        field = found[1] if found else _INPUT_CODES.get(str(code))
        if detail.startswith("Target "):
            field = "targets"
    return _class_of(status, may_retry)(
        _ROW.sub(lambda match: f"{match[1]}{int(match[2]) + first_row}", detail),
        status=status,
        code=code if isinstance(code, str) else None,
        field=field if isinstance(field, str) else None,
        row=int(row[2]) + first_row if row else None,
        column=int(column[1]) if column else None,
        request_id=problem.get("request_id") or headers.get("x-request-id"),
    )


def _problem(content: bytes) -> dict[str, Any]:
    try:
        problem = json.loads(content)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}
