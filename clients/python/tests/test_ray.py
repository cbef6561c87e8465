"""Ray Data on real nodes: a server each, one of which dies in the middle."""

import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

ray = pytest.importorskip("ray", reason="SKIPPED: Ray is not installed (pip install 'ray[data]')")
pa = pytest.importorskip("pyarrow")
from conftest import CLI, D, random_rows, write_dictionary  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

from pursuit_client import Client  # noqa: E402
from pursuit_client.ray import LocalServer, encode_dataset, rows_of_column  # noqa: E402

N = 6000


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ray-models")
    write_dictionary(folder, "random", seed=1)
    # Each server has caches of its own.
    script = tmp_path_factory.mktemp("ray-bin") / "serve"
    script.write_text(
        "#!/bin/sh\nd=$(mktemp -d)\n"
        f'exec node "{CLI}" serve --models-dir "{folder}" --cache-dir "$d/c" --state-dir "$d/s" "$@"\n'
    )
    script.chmod(0o755)
    return [str(script)]


@pytest.fixture(scope="module")
def cluster():
    """A head that reads, and two nodes that each offer one `pursuit`."""
    source = str(Path(__file__).parents[1] / "src")
    os.environ["PYTHONPATH"] = os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1, resources={"pursuit": 1}) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster, nodes
    ray.shutdown()
    cluster.shutdown()


def dataset(rows, blocks):
    ids = np.arange(len(rows))
    tables = [
        pa.table({"id": ids[part], "x": pa.FixedSizeListArray.from_arrays(pa.array(rows[part].ravel()), D)})
        for part in np.array_split(ids, blocks)
    ]
    return ray.data.from_arrow(tables)


def pids_of_servers(command):
    """Process ids of Node servers that this test's command started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"serve\0" in text and str(CLI).encode() in text and b"ray-models" in text:
                found.append(int(entry.name))
    return found


def test_a_local_server_is_started_anew_and_calls_wait_for_it(command):
    server = LocalServer(command, check_every=0.5)
    try:
        with Client(server.url, deadline=120) as client:
            rows = random_rows(50)
            before = client.encode("random", rows, max_atoms=4)
            for pid in pids_of_servers(command):
                os.kill(pid, signal.SIGKILL)
            again = client.encode("random", rows, max_atoms=4)
        assert np.array_equal(before.indices, again.indices)
        assert server.restarts >= 1
    finally:
        server.close()
    assert not pids_of_servers(command)


def test_a_server_that_does_not_start_is_named():
    with pytest.raises(RuntimeError, match=r"false --host 127.0.0.1 --port .* ended with 1 before it served"):
        LocalServer(["false"])


def test_every_row_once_though_a_node_is_killed_in_the_middle(cluster, command):
    cluster, nodes = cluster
    rows = random_rows(N, seed=5)
    coded = encode_dataset(dataset(rows, 60), "random", "x", server={"command": command}, batch_size=100, max_atoms=4)
    killed = threading.Event()
    found, values = {}, {}
    for batch in coded.iter_batches(batch_size=None, batch_format="pyarrow"):
        for row_id, indices, row_values in zip(
            *(batch.column(name).to_pylist() for name in ("id", "indices", "values")), strict=True
        ):
            assert row_id not in found, f"row {row_id} twice"
            found[row_id], values[row_id] = indices, row_values
        if not killed.is_set() and len(found) >= N // 10:
            assert len(found) < N
            killed.set()
            cluster.remove_node(nodes[1], allow_graceful=False)
    assert killed.is_set()
    assert sorted(found) == list(range(N))

    server = LocalServer(command)
    try:
        with Client(server.url, deadline=120) as client:
            codes = client.encode("random", rows, max_atoms=4)
    finally:
        server.close()
    for i in range(N):
        assert found[i] == codes.indices[codes.indptr[i] : codes.indptr[i + 1]].tolist()
        assert values[i] == codes.values[codes.indptr[i] : codes.indptr[i + 1]].tolist()


def test_a_service_is_used_by_its_url(cluster, command):
    server = LocalServer(command)
    try:
        rows = random_rows(300, seed=6)
        coded = encode_dataset(dataset(rows, 3), "random", "x", url=server.url, keep_rows=True, concurrency=1, tolerance=0.3)
        table = pa.concat_tables(coded.iter_batches(batch_size=None, batch_format="pyarrow"))
    finally:
        server.close()
    assert table.column_names == ["id", "x", "indices", "values", "steps", "stop", "relative_error"]
    assert table.num_rows == 300
    assert max(table.column("relative_error").to_pylist()) <= 0.3 + 1e-6


def test_columns_that_are_no_rows_are_named():
    ragged = pa.table({"x": [[1.0, 2.0], [3.0]], "y": ["a", "b"], "z": [[1.0], None]})
    for column, said in (
        ("x", "different lengths"),
        ("y", "of type string"),
        ("z", "holds nulls"),
        ("w", "There is no column w"),
    ):
        with pytest.raises(ValueError, match=said):
            rows_of_column(ragged, column)


def test_a_cluster_without_the_resource_says_how_to_offer_it(cluster, monkeypatch):
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 1.0})
    with pytest.raises(ValueError, match="No node offers pursuit: start each with ray start"):
        encode_dataset(dataset(random_rows(2), 1), "random", "x")
