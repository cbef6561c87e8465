"""The built server in a process of its own, with small random dictionaries, and a proxy that breaks things on the way to it."""

import contextlib
import http.client
import http.server
import json
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from pursuit_client import Client
from pursuit_client.tensors import write_tensors

ROOT = Path(__file__).resolve().parents[3]
CLI = ROOT / "dist" / "cli" / "pursuit.js"
D, M = 32, 256


def write_dictionary(folder, name, *, seed, d=D, m=M, **encoder):
    """A matching-pursuit dictionary of random unit atoms."""
    atoms = np.random.default_rng(seed).standard_normal((m, d)).astype(np.float32)
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    settings = {"score": "relu", "reselect": "add", "center": False, "residual_threshold": 0, "max_atoms": None}
    manifest = {
        "format": 1,
        "id": name,
        "kind": "matching_pursuit",
        "d": d,
        "m": m,
        "encoder": {**settings, "input_norm": "none", **encoder},
        "provenance": {"data": "made for a test"},
    }
    return write_folder(folder / name, manifest, {"atoms": atoms})


def write_transcoder(folder, name):
    """A JumpReLU transcoder with a skip, 32 wide in and 24 wide out."""
    random = np.random.default_rng(3)
    normal = lambda *shape: random.standard_normal(shape).astype(np.float32)  # noqa: E731
    manifest = {
        "format": 1,
        "id": name,
        "kind": "jumprelu",
        "role": "transcoder",
        "d_in": D,
        "d_out": 24,
        "m": 64,
        "groups": [16, 64],
        "encoder": {"center": True, "subtract_center": False, "input_norm": "none", "skip": True, "comparison": "strict"},
        "provenance": {"data": "made for a test"},
    }
    tensors = {
        "atoms": normal(64, 24),
        "center": normal(24),
        "encoder_weight": normal(64, D),
        "encoder_bias": normal(64),
        "threshold": np.full(64, 0.5, np.float32),
        "skip": normal(24, D),
    }
    return write_folder(folder / name, manifest, tensors)


def write_folder(folder, manifest, tensors):
    folder.mkdir(parents=True)
    (folder / "dictionary.json").write_text(json.dumps(manifest))
    (folder / "weights.safetensors").write_bytes(write_tensors(tensors, {}))
    return folder


class Server:
    """The built server on a port of its own choice, until it is stopped."""

    def __init__(self, models, scratch, **settings):
        folders = ["--models-dir", models, "--cache-dir", scratch / "cache", "--state-dir", scratch / "state"]
        names = {f"PURSUIT_{name.upper()}": str(value) for name, value in settings.items()}
        self._log = open(scratch / "log", "ab")  # noqa: SIM115
        self.process = subprocess.Popen(
            ["node", CLI, "serve", "--port", "0", *folders],
            env={**os.environ, **names},
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        for line in self.process.stdout:
            found = re.match(r"Pursuit serves .* at (http:\S+)", line)
            if found:
                self.url = found[1].rstrip("/")
                break
        else:
            raise RuntimeError(f"The server ended before it served:\n{(scratch / 'log').read_text()}")
        # It goes on writing lines to try; nobody must wait for a full pipe.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self._log.close()


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    if not CLI.exists():
        pytest.exit("There is no built server; run: npm run build", returncode=1)
    folder = tmp_path_factory.mktemp("models")
    write_dictionary(folder, "random", seed=1)
    write_dictionary(folder, "normed", seed=2, input_norm="layer_norm")
    write_dictionary(folder, "twin", seed=4, d=24)
    write_transcoder(folder, "transcoder")
    for shipped in ("minilm-wordnet-mp", "minilm-wordnet-topk"):
        shutil.copytree(ROOT / "models" / shipped, folder / shipped)
    return folder


@pytest.fixture(scope="session")
def start(tmp_path_factory):
    """Starts servers, of the dictionary "random" unless told otherwise; all are stopped at the end."""
    small = tmp_path_factory.mktemp("small")
    write_dictionary(small, "random", seed=1)
    with contextlib.ExitStack() as stack:

        def start_server(models=small, **settings):
            server = Server(models, tmp_path_factory.mktemp("server"), **settings)
            stack.callback(server.stop)
            return server

        yield start_server


@pytest.fixture(scope="session")
def server(start, models):
    return start(models)


@pytest.fixture
def client(server):
    with Client(server.url, deadline=60) as client:
        yield client


class Proxy:
    """Hands requests on to `target`, unless `plan(number)` says what else happens to one.

    "cut" closes the connection before the answer, "half" in the middle of it; a number is the status of a refusal.
    """

    def __init__(self, target):
        self.target = target
        self.plan = lambda number: None
        self.requests = 0
        self.retry_after = "1"
        proxy, lock = self, threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self):
                with lock:
                    number = proxy.requests
                    proxy.requests += 1
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                what = proxy.plan(number)
                if what == "cut" or proxy.target is None:
                    self.close_connection = True
                    return
                if isinstance(what, int):
                    self.send_response(what)
                    if proxy.retry_after is not None:
                        self.send_header("retry-after-ms", proxy.retry_after)
                    self.send_header("content-length", "2")
                    self.end_headers()
                    self.wfile.write(b"{}")
                    return
                try:
                    status, headers, answer = proxy.ask(self.command, self.path, self.headers, body)
                except OSError:
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in headers:
                    if name.lower() not in ("connection", "date", "keep-alive", "transfer-encoding", "content-length"):
                        self.send_header(name, value)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                if what == "half":
                    self.wfile.write(answer[: len(answer) // 2])
                    self.close_connection = True
                else:
                    self.wfile.write(answer)

            do_GET = do_POST = do_PUT = do_DELETE = handle_one

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def ask(self, method, path, headers, body):
        connection = http.client.HTTPConnection(urlsplit(self.target).netloc)
        kept = {name: value for name, value in headers.items() if name.lower() not in ("host", "connection")}
        try:
            connection.request(method, path, body, kept)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        except http.client.HTTPException as fault:
            raise OSError(str(fault)) from fault
        finally:
            connection.close()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def proxy(server):
    proxy = Proxy(server.url)
    yield proxy
    proxy.close()


def random_rows(n, d=D, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def same_codes(left, right):
    """Whether codes are the same bit for bit, row by row."""
    return (
        left.shape == right.shape
        and np.array_equal(left.indptr, right.indptr)
        and np.array_equal(left.indices, right.indices)
        and left.values.tobytes() == right.values.tobytes()
        and np.array_equal(left.steps, right.steps)
        and np.array_equal(left.stop, right.stop)
        and np.array_equal(left.relative_error, right.relative_error)
    )
