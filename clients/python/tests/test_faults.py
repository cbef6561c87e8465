"""What goes wrong between client and server, and what the caller sees of it."""

import pickle
import re
import threading
import urllib.request

import numpy as np
import pytest
from conftest import D, M, random_rows, same_codes, write_dictionary

from pursuit_client import (
    AccessDenied,
    Client,
    Conflict,
    InvalidRequest,
    NotFound,
    PursuitError,
    Unavailable,
)

KEY = "secret-0123456789abcdef"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_is_named_as_the_caller_counts(server, value):
    rows = random_rows(40)
    rows[33, 5] = value
    with Client(server.url, rows_per_request=7) as client, pytest.raises(InvalidRequest) as refused:
        client.encode("random", rows, max_atoms=3)
    error = refused.value
    assert (error.status, error.code, error.field, error.row, error.column) == (422, "PURSUIT_NOT_FINITE", "inputs", 33, 5)
    assert "Row 33, column 5" in error.detail
    assert error.request_id
    assert isinstance(error, ValueError)


def test_a_target_that_is_not_finite(server):
    targets = random_rows(12, 24)
    targets[9, 2] = np.nan
    with Client(server.url, rows_per_request=5) as client, pytest.raises(InvalidRequest) as refused:
        client.encode("transcoder", random_rows(12), targets=targets)
    assert (refused.value.field, refused.value.row, refused.value.column) == ("targets", 9, 2)


def test_a_budget_out_of_range_names_its_row(server):
    budget = [{"max_atoms": 2}] * 11 + [{"tolerance": -1.0}]
    with Client(server.url, rows_per_request=5) as client, pytest.raises(InvalidRequest) as refused:
        client.encode("random", random_rows(12), budget=budget)
    assert refused.value.row == 11
    assert refused.value.field.startswith("budget")


def test_other_refusals(client, proxy):
    with pytest.raises(InvalidRequest, match="768 wide") as refused:
        client.encode("random", random_rows(2, 768))
    assert (refused.value.code, refused.value.field) == ("PURSUIT_WRONG_WIDTH", "inputs")
    with pytest.raises(NotFound) as missing:
        client.encode("nothing/../here", random_rows(2))
    assert missing.value.code == "PURSUIT_DICTIONARY_NOT_FOUND"
    with Client(proxy.url) as through, pytest.raises(InvalidRequest):
        through.encode("random", random_rows(2, 768))
    # A refusal that waiting cannot mend is asked for once.
    assert proxy.requests == 1


def test_errors_survive_a_process_pool(client):
    with pytest.raises(InvalidRequest) as refused:
        client.encode("random", random_rows(2, 768))
    again = pickle.loads(pickle.dumps(refused.value))
    assert (type(again), str(again), again.code) == (InvalidRequest, str(refused.value), "PURSUIT_WRONG_WIDTH")


def test_keys(start):
    server = start(api_keys=KEY, admin_keys="another-0123456789abcdef")
    for key in (None, "wrong-0123456789abcdef"):
        with Client(server.url, api_key=key) as client, pytest.raises(AccessDenied) as denied:
            client.encode("random", random_rows(2))
        assert (denied.value.status, denied.value.code) == (401, "PURSUIT_UNAUTHORIZED")
        assert "wrong-" not in str(denied.value)
    with Client(server.url, api_key=KEY) as client:
        assert client.encode("random", random_rows(2), max_atoms=2).shape == (2, M)
        with pytest.raises(AccessDenied) as denied:
            client.unload("random")
        assert denied.value.status == 403


def test_a_key_is_never_shown():
    with Client("http://127.0.0.1:1", api_key=KEY) as client:
        with pytest.raises(Unavailable) as refused:
            client.dictionaries()
        for shown in (
            repr(client),
            repr(client._connection),
            repr(client._transport._http.headers),
            str(refused.value),
            repr(refused.value),
        ):
            assert KEY not in shown
    for key in (f"{KEY}\n", f" {KEY}", "schlüssel-0123456789", ""):
        with pytest.raises(ValueError, match="api_key") as wrong:
            Client(api_key=key)
        assert KEY not in str(wrong.value)
    with pytest.raises(ValueError, match="user name or a password") as wrong:
        Client(f"http://user:{KEY}@127.0.0.1:8080")
    assert KEY not in str(wrong.value)
    for url in ("127.0.0.1:8080", "ftp://127.0.0.1", "http://", "http://127.0.0.1/?a=b"):
        with pytest.raises(ValueError, match="address of a server"):
            Client(url)


def test_a_job_goes_on_where_parts_are_refused_for_load(tmp_path, start):
    # A queue of 160 rows for parts of 128: while one waits, another is refused.
    write_dictionary(tmp_path, "large", seed=5, d=256, m=2048)
    server = start(tmp_path, max_queue_rows=160)
    rows = random_rows(2048, 256)
    with Client(server.url, rows_per_request=128, in_flight=8) as client:
        codes = client.encode("large", rows, max_atoms=32)
    with Client(server.url, rows_per_request=128, in_flight=1) as careful:
        assert same_codes(codes[:256], careful.encode("large", rows[:256], max_atoms=32))
    assert len(codes) == 2048
    metrics = urllib.request.urlopen(f"{server.url}/metrics").read().decode()
    refused = re.findall(r'pursuit_shed_total\{[^}]*reason="queue_full"[^}]*\} (\d+)', metrics)
    assert sum(map(int, refused)) > 0


def test_a_job_goes_on_where_the_server_is_restarted(start, proxy):
    first = start()
    proxy.target = first.url
    rows = random_rows(120)
    with Client(proxy.url, rows_per_request=10, in_flight=3, deadline=60) as client:
        parts = client.encode_parts("random", rows, max_atoms=4)
        got = [next(parts)]
        first.stop()
        proxy.target = None

        def restart():
            proxy.target = start().url

        thread = threading.Thread(target=restart)
        thread.start()
        got += parts
        thread.join()
    with Client(proxy.url) as client:
        assert same_codes(type(got[0]).concatenate(got), client.encode("random", rows, max_atoms=4))


@pytest.mark.parametrize("broken", ["cut", "half", 429, 503, 502])
def test_a_job_goes_on_where_answers_break_off_or_are_refused(proxy, client, broken):
    rows = random_rows(60)
    proxy.retry_after = "2" if broken in (429, 503) else None
    proxy.plan = lambda number: broken if number % 3 == 1 else None
    with Client(proxy.url, rows_per_request=10, in_flight=2, deadline=60) as through:
        codes = through.encode("random", rows, max_atoms=4)
    assert same_codes(codes, client.encode("random", rows, max_atoms=4))
    assert proxy.requests > 6


def test_the_deadline_ends_retries(proxy):
    proxy.plan = lambda number: 429
    proxy.retry_after = "700"
    with Client(proxy.url, deadline=2) as client, pytest.raises(Unavailable, match="within the deadline of 2 s") as refused:
        client.encode("random", random_rows(2))
    assert refused.value.status == 429
    assert proxy.requests > 1
    # A wait beyond the deadline is not begun.
    proxy.retry_after = "3600000"
    began = proxy.requests
    with Client(proxy.url, deadline=60) as client, pytest.raises(Unavailable):
        client.encode("random", random_rows(2))
    assert proxy.requests == began + 1


def test_the_first_part_that_fails_ends_the_job(proxy):
    rows = random_rows(60)
    rows[15, 0] = np.nan
    with Client(proxy.url, rows_per_request=10, in_flight=2) as client:
        parts = client.encode_parts("random", rows, max_atoms=4)
        assert len(next(parts)) == 10
        with pytest.raises(InvalidRequest, match="Row 15"):
            next(parts)
    assert proxy.requests <= 4


def test_changes_are_not_sent_twice_over_a_cut_connection(proxy):
    proxy.plan = lambda number: "cut"
    with Client(proxy.url) as client, pytest.raises(Unavailable, match="No whole answer"):
        client.load("random")
    assert proxy.requests == 1


def test_a_dictionary_that_is_replaced_in_the_middle(tmp_path, start):
    folder = write_dictionary(tmp_path, "changing", seed=1)
    server = start(tmp_path)
    with Client(server.url, rows_per_request=10, in_flight=1) as client:
        parts = client.encode_parts("changing", random_rows(50), max_atoms=3)
        next(parts)
        other = write_dictionary(tmp_path / "new", "changing", seed=2)
        (other / "weights.safetensors").replace(folder / "weights.safetensors")
        client.load("changing")
        with pytest.raises(Conflict, match="replaced meanwhile") as replaced:
            list(parts)
    assert replaced.value.row in (10, 20)


def test_answers_of_something_else(proxy):
    proxy.plan = lambda number: 200
    with Client(proxy.url) as client, pytest.raises(PursuitError, match="no Pursuit server"):
        client.encode("random", random_rows(2))
    proxy.plan = lambda number: 301
    proxy.retry_after = None
    with Client(proxy.url) as client, pytest.raises(PursuitError, match="points elsewhere"):
        client.dictionaries()


def test_several_threads_share_a_client(client):
    rows = random_rows(20)
    expected = client.encode("random", rows, max_atoms=3)
    found = {}

    def encode(name):
        found[name] = client.encode("random", rows, max_atoms=3)

    threads = [threading.Thread(target=encode, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same_codes(found[name], expected) for name in range(6))


def test_an_address_that_never_answered_is_not_waited_for():
    with Client("http://127.0.0.1:1") as client, pytest.raises(Unavailable, match="No server answers at") as refused:
        client.encode("random", np.zeros((1, D)))
    assert refused.value.status is None
    assert "http://127.0.0.1:1 " in str(refused.value)
