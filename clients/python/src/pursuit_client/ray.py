"""Codes of a Ray dataset: actors, one a node, that each own a server, or that talk to a service."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import ray

from .client import Client
from .codes import Codes
from .connection import httpx

if TYPE_CHECKING:
    from ray.data import Dataset

#: Nodes offer it (`ray start --resources='{"pursuit": 1}'`), and each actor takes one: so there is one server a node.
RESOURCE = "pursuit"

# Ends the server when its standard input does: also when the actor, or the whole node, is killed.
_GUARD = """
import os, subprocess, sys, threading
server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
def watch():
    while os.read(0, 1):
        pass
    server.kill()
threading.Thread(target=watch, daemon=True).start()
os._exit(server.wait() & 255)
"""


class LocalServer:
    """A server in a process of its own on a free port of this machine: started, asked for its health, started anew.

    `command` starts it, such as `["pursuit", "serve"]`, or a container's with `--network=host`; it gets `--host` and `--port`.
    `env` is added to its environment. It is killed and started anew when it has not answered three times in a row.
    """

    def __init__(
        self,
        command: Sequence[str] = ("pursuit", "serve"),
        *,
        env: Mapping[str, str] | None = None,
        start_timeout: float = 300.0,
        check_every: float = 5.0,
    ) -> None:
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._command = [*command, "--host", "127.0.0.1", "--port", str(port)]
        self._env = {**os.environ, **(env or {})}
        self._check_every = check_every
        self._closing = threading.Event()
        #: Starts after the first.
        self.restarts = 0
        self._process = self._start()
        try:
            self._await_ready(start_timeout)
        except BaseException:
            self.close()
            raise
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def _start(self) -> subprocess.Popen[bytes]:
        guarded = [sys.executable, "-c", _GUARD, *self._command]
        return subprocess.Popen(guarded, env=self._env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)

    def _answers(self, path: str) -> bool:
        try:
            return httpx.get(f"{self.url}{path}", timeout=30.0, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def _await_ready(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not self._answers("/health/ready"):
            if self._process.poll() is not None:
                raise RuntimeError(
                    f"{' '.join(self._command)} ended with {self._process.returncode} before it served. "
                    "Run it by hand to see why."
                )
            if time.monotonic() > deadline:
                raise RuntimeError(f"{' '.join(self._command)} was not ready within {timeout:.0f} s.")
            self._closing.wait(0.2)

    def _watch(self) -> None:
        missed = 0
        while not self._closing.is_set():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self._check_every)
            if self._closing.is_set():
                return
            if self._process.poll() is None:
                missed = 0 if self._answers("/health/live") else missed + 1
                if missed < 3:
                    continue
            # Calls that it had under way are made again by the client, which waits for it.
            self._end()
            self.restarts += 1
            missed = 0
            self._process = self._start()
            self._closing.wait(min(self.restarts, 10) * 0.5)

    def _end(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    def close(self) -> None:
        """Ends the server."""
        self._closing.set()
        self._end()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Encode:
    """Encodes batches of one column: the callable class that `map_batches` takes. Arguments: `encode_dataset`."""

    def __init__(
        self,
        dictionary: str,
        column: str,
        *,
        url: str | None,
        server: Mapping[str, Any] | None,
        api_key: str | None,
        keep_rows: bool,
        deadline: float,
        fields: Mapping[str, Any],
    ) -> None:
        self._server = LocalServer(**(server or {})) if url is None else None
        self._client = Client(url or self._server.url, api_key=api_key, deadline=deadline)  # type: ignore[union-attr]
        self._dictionary = dictionary
        self._column = column
        self._keep_rows = keep_rows
        self._fields = dict(fields)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The batch with the columns `indices` and `values`, lists, and `steps`, `stop` and `relative_error`."""
        rows = rows_of_column(batch, self._column)
        codes = self._client.encode(self._dictionary, rows, progress=False, **self._fields)
        kept = batch if self._keep_rows else batch.drop_columns([self._column])
        for name, column in columns_of_codes(codes).items():
            kept = kept.append_column(name, column)
        return kept


def rows_of_column(batch: pa.Table, name: str) -> Any:
    """Rows [n, d] of a column of lists of one length, or of tensors [d]."""
    if name not in batch.column_names:
        raise ValueError(f"There is no column {name}; the dataset has {', '.join(batch.column_names)}.")
    column = batch.column(name).combine_chunks()
    if column.null_count > 0:
        raise ValueError(f"Column {name} holds nulls; fill or drop them.")
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_fixed_size_list(column.type):
        return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        raise ValueError(f"Column {name} is of type {column.type}; its values must be lists of floats, a row each.")
    lengths = np.diff(column.offsets.to_numpy())
    if len(lengths) > 0 and not (lengths == lengths[0]).all():
        raise ValueError(f"Column {name} holds lists of different lengths; rows are of one length.")
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)


def columns_of_codes(codes: Codes) -> dict[str, pa.Array]:
    """Codes as Arrow columns, a row each."""
    offsets = pa.array(codes.indptr.astype(np.int32))
    columns = {
        "indices": pa.ListArray.from_arrays(offsets, pa.array(codes.indices.astype(np.uint32))),
        "values": pa.ListArray.from_arrays(offsets, pa.array(codes.values)),
        "steps": pa.array(np.asarray(codes.steps)),
        "stop": pa.array([str(reason) for reason in codes.stop], pa.string()),
    }
    if codes.relative_error is not None:
        columns["relative_error"] = pa.array(np.asarray(codes.relative_error))
    return columns


def encode_dataset(
    ds: Dataset,
    dictionary: str,
    column: str,
    *,
    url: str | None = None,
    server: Mapping[str, Any] | None = None,
    api_key: str | None = None,
    keep_rows: bool = False,
    batch_size: int = 4096,
    concurrency: int | tuple[int, int] | None = None,
    num_gpus: float | None = None,
    resources: Mapping[str, float] | None = None,
    deadline: float = 600.0,
    **fields: Any,
) -> Dataset:
    """Codes of the rows in `column` of a Ray dataset, beside its other columns.

    Without `url` each actor starts a server of its own by `server`, the arguments of `LocalServer`. Actors take no CPU of
    Ray's: the server does the work, and Ray's readers would starve. Each takes one `pursuit`, which nodes offer by
    `ray start --resources='{"pursuit": 1}'`: so there is one on each node. `concurrency` is a number of actors or (least,
    most), between which Ray scales; by default 1 to as many as the cluster offers now. `num_gpus` may be a fraction. With
    `url`, actors call that service, or a server beside each of them such as a sidecar, and take no `pursuit` unless
    `resources` says so.

    A node that dies takes its batches with it, and Ray makes them again elsewhere: each row is in the result once. A server
    that dies is started anew, and its calls are repeated for `deadline` seconds. Further arguments are `Client.encode`'s.
    """
    if url is not None and server is not None:
        raise ValueError("Give url, of a service, or server, for one of each actor's own; not both.")
    taken: dict[str, float] = dict(resources or ({} if url is not None else {RESOURCE: 1.0}))
    if concurrency is None:
        resources_of_cluster: Any = ray.cluster_resources
        offered = resources_of_cluster().get(RESOURCE, 0.0)
        if RESOURCE in taken and offered < taken[RESOURCE]:
            raise ValueError(
                f"No node offers {RESOURCE}: start each with ray start --resources='{{\"{RESOURCE}\": 1}}', or say concurrency."
            )
        concurrency = (1, max(1, int(offered / taken[RESOURCE]))) if RESOURCE in taken else (1, 4)
    return ds.map_batches(
        Encode,
        fn_constructor_args=(dictionary, column),
        fn_constructor_kwargs={
            "url": url,
            "server": server,
            "api_key": api_key,
            "keep_rows": keep_rows,
            "deadline": deadline,
            "fields": fields,
        },
        batch_format="pyarrow",
        batch_size=batch_size,
        concurrency=concurrency,
        num_cpus=0,
        num_gpus=num_gpus,
        resources=taken or None,
    )
