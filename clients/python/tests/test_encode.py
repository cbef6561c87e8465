"""Rows of every kind in, the codes of one plain JSON request out."""

import json
import urllib.request

import numpy as np
import pytest
from conftest import D, M, random_rows, same_codes

from pursuit_client import Client, Codes, InvalidRequest


def by_json(server, rows, **fields):
    body = json.dumps({"inputs": np.asarray(rows, np.float64).tolist(), **fields}).encode()
    url = f"{server.url}/v1/dictionaries/random/encode"
    with urllib.request.urlopen(urllib.request.Request(url, body, {"content-type": "application/json"})) as answer:
        return Codes.from_json(json.load(answer), M)


def test_codes_are_those_of_the_json_interface(server, client):
    rows = random_rows(5)
    codes = client.encode("random", rows, max_atoms=6)
    assert same_codes(codes, by_json(server, rows, budget={"max_atoms": 6}))
    assert codes.shape == (5, M)
    assert codes.atoms.max() <= 6
    assert codes.dictionary == "random"
    assert codes.sha256 == client.dictionary("random")["sha256"]
    assert set(codes.stop) == {"max_atoms"}
    assert codes.explained_variance is None
    assert 0 < client.encode("random", rows, max_atoms=6, include=["summary"]).explained_variance < 1


ROWS = random_rows(12)
HALF = ROWS.astype(np.float16)


@pytest.mark.parametrize(
    ("name", "rows", "same_as"),
    [
        ("float64", ROWS.astype(np.float64), ROWS),
        ("float16", HALF, HALF.astype(np.float32)),
        ("big-endian float32", ROWS.astype(">f4"), ROWS),
        ("big-endian float64", ROWS.astype(">f8"), ROWS),
        ("big-endian float16", HALF.astype(">f2"), HALF.astype(np.float32)),
        ("long double", ROWS.astype(np.longdouble), ROWS),
        ("column-major", np.asfortranarray(ROWS), ROWS),
        ("every other column", np.repeat(ROWS, 2, axis=1)[:, ::2], ROWS),
        ("backwards", ROWS[::-1][::-1], ROWS),
        ("read-only", np.frombuffer(ROWS.tobytes(), np.float32).reshape(12, D), ROWS),
        ("lists", ROWS.tolist(), ROWS),
        ("integers", np.round(ROWS * 8).astype(np.int64), np.round(ROWS * 8)),
        ("booleans", ROWS > 0, (ROWS > 0).astype(np.float32)),
        ("a list of blocks", [ROWS[:5], ROWS[5:]], ROWS),
        ("a generator of rows", (row for row in ROWS), ROWS),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_arrays_of_every_kind(client, name, rows, same_as):
    assert same_codes(client.encode("random", rows, max_atoms=4), client.encode("random", same_as, max_atoms=4))


def test_bfloat16_of_ml_dtypes(client):
    rows = ROWS.astype(pytest.importorskip("ml_dtypes").bfloat16)
    expected = client.encode("random", rows.astype(np.float32), max_atoms=4)
    assert same_codes(client.encode("random", rows, max_atoms=4), expected)
    assert same_codes(client.encode("random", np.asfortranarray(rows), max_atoms=4), expected)


def test_leading_dimensions_are_flattened_and_told(client):
    codes = client.encode("random", ROWS.reshape(3, 4, D), max_atoms=4)
    assert same_codes(codes, client.encode("random", ROWS, max_atoms=4))
    assert codes.inputs_shape == (3, 4, D)
    transposed = np.moveaxis(ROWS.reshape(3, 4, D), 0, 1)
    assert same_codes(client.encode("random", transposed, max_atoms=4)[0], codes[0])


def test_one_row_and_no_row(client):
    one = client.encode("random", ROWS[0], max_atoms=4)
    assert same_codes(one, client.encode("random", ROWS[:1], max_atoms=4))
    assert one.inputs_shape == (D,)
    for none in (np.zeros((0, D), np.float32), iter([])):
        empty = client.encode("random", none, max_atoms=4)
        assert empty.shape == (0, M)
        assert len(empty.stop) == 0
    assert list(client.encode_parts("random", np.zeros((0, D)))) == []


def test_rows_that_are_none(client):
    with pytest.raises(TypeError, match=r"inputs is an array of complex"):
        client.encode("random", ROWS.astype(complex))
    with pytest.raises(TypeError, match=r"inputs is an array of object"):
        client.encode("random", np.array([[None] * D]))
    with pytest.raises(ValueError, match="a single number"):
        client.encode("random", 3.0)


def test_many_rows_are_split_and_come_in_order(server, client):
    rows = random_rows(101)
    whole = client.encode("random", rows, max_atoms=5, include=["trace", "reconstruction", "summary"])
    assert whole.explained_variance is not None
    with Client(server.url, rows_per_request=7, in_flight=5) as small:
        parts = list(small.encode_parts("random", rows, max_atoms=5))
        assert [len(part) for part in parts] == [7] * 14 + [3]
        split = small.encode("random", rows, max_atoms=5, include=["trace", "reconstruction", "summary"])
    assert same_codes(split, whole)
    assert np.array_equal(split.reconstruction, whole.reconstruction)
    assert np.array_equal(split.trace.indptr, whole.trace.indptr)
    assert np.array_equal(split.trace.residual_norms, whole.trace.residual_norms)
    assert split.explained_variance is None


def test_a_stream_is_cut_anew_and_may_use_its_block_again(server, client):
    rows = random_rows(50)

    def blocks():
        block = np.empty((3, D), np.float32)
        for first in range(0, 48, 3):
            block[:] = rows[first : first + 3]
            yield block
        yield rows[48:].astype(np.float64)

    with Client(server.url, rows_per_request=8) as small:
        parts = list(small.encode_parts("random", blocks(), max_atoms=5))
    # A block of another type begins a part of its own.
    assert [len(part) for part in parts] == [8] * 6 + [2]
    assert same_codes(Codes.concatenate(parts), client.encode("random", rows, max_atoms=5))


def test_a_stream_is_read_no_further_than_its_codes_are_taken(server):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield ROWS

    with Client(server.url, rows_per_request=len(ROWS), in_flight=3) as small:
        parts = small.encode_parts("random", endless(), max_atoms=2)
        for _ in range(5):
            next(parts)
        parts.close()
    assert 5 <= taken <= 5 + 3


def test_a_fault_of_the_stream_reaches_the_caller(client):
    def broken():
        yield ROWS
        raise OSError("disk is gone")

    with pytest.raises(OSError, match="disk is gone"):
        client.encode("random", broken(), max_atoms=2)


def test_a_budget_a_row(server, client):
    rows = random_rows(30)
    budget = [{"max_atoms": 1 + i % 5} for i in range(30)]
    with Client(server.url, rows_per_request=7) as small:
        for sender in (client, small):
            codes = sender.encode("random", rows, budget=budget)
            assert np.array_equal(codes.steps, [one["max_atoms"] for one in budget])
    # So many do not fit into a query.
    many = [{"max_atoms": 1 + i % 5, "tolerance": 0.001} for i in range(3000)]
    codes = client.encode("random", random_rows(3000), budget=many)
    assert np.array_equal(codes.steps, [one["max_atoms"] for one in many])


def test_a_budget_whose_length_is_wrong(client):
    with pytest.raises(ValueError, match="budget has 2 entries for 12 rows"):
        client.encode("random", ROWS, budget=[{}, {}])
    for length in (11, 13):
        with pytest.raises(ValueError, match=f"budget has {length} entries"):
            client.encode("random", iter([ROWS]), budget=[{"max_atoms": 1}] * length)
    with pytest.raises(ValueError, match="give one or the other"):
        client.encode("random", ROWS, budget={"max_atoms": 1}, tolerance=0.1)


def test_parts_of_a_budget_and_numbers_of_numpy(client):
    codes = client.encode("random", ROWS, max_atoms=np.int64(9), tolerance=np.float32(0.5))
    assert codes.relative_error.max() <= 0.5 or codes.atoms.max() == 9
    assert same_codes(codes, client.encode("random", ROWS, budget={"max_atoms": 9, "tolerance": 0.5}))


def test_an_empty_budget_is_not_the_default_one(client):
    rows = random_rows(2, 384)
    default = client.encode("minilm-wordnet-mp", rows)
    assert set(default.steps) == {16}
    assert client.encode("minilm-wordnet-mp", rows, budget={}).steps.min() > 16


def test_fields_that_the_client_does_not_know_reach_the_server(client):
    with pytest.raises(InvalidRequest) as refused:
        client.encode("random", ROWS, colour="red")
    assert refused.value.code == "PURSUIT_INVALID_FIELD"
    assert refused.value.field == "colour"
    with pytest.raises(InvalidRequest) as refused:
        client.encode("random", ROWS, budget={"atoms": 3})
    assert refused.value.field == "budget.atoms"
    with pytest.raises(InvalidRequest, match="encoder"):
        client.encode("random", ROWS, encoder={"kind": "no such kind"})


def test_encoder_and_include(client):
    orthogonal = client.encode("random", ROWS, encoder="orthogonal", max_atoms=6)
    own = client.encode("random", ROWS, max_atoms=6)
    assert orthogonal.relative_error.mean() < own.relative_error.mean()
    rows = random_rows(6, 384)
    for encoder in ("matching_pursuit", {"kind": "matching_pursuit", "score": "relu"}):
        pursued = client.encode("minilm-wordnet-topk", rows, encoder=encoder, max_atoms=8)
        assert pursued.encoder["kind"] == "matching_pursuit"
        assert pursued.relative_error.mean() < client.encode("minilm-wordnet-topk", rows, max_atoms=8).relative_error.mean()
    labelled = client.encode("minilm-wordnet-mp", random_rows(2, 384), max_atoms=8, include=["labels"])
    assert len(labelled.labels) == len(labelled.indices)
    assert any(isinstance(label, str) for label in labelled.labels)
    with pytest.raises(TypeError, match=r'\["trace"\]'):
        client.encode("random", ROWS, include="trace")


def test_targets_of_a_transcoder(server, client):
    targets = random_rows(12, 24, seed=7)
    bare = client.encode("transcoder", ROWS)
    assert bare.relative_error is None
    codes = client.encode("transcoder", ROWS, targets=targets)
    assert codes.relative_error.shape == (12,)
    with Client(server.url, rows_per_request=5) as small:
        assert same_codes(small.encode("transcoder", ROWS, targets=targets), codes)
    with pytest.raises(ValueError, match="targets has 3 entries for 12 rows"):
        client.encode("transcoder", ROWS, targets=targets[:3])


def test_a_server_that_takes_less_is_learnt(start):
    server = start(max_rows=10)
    rows = random_rows(64)
    with Client(server.url, in_flight=1) as client, Client(server.url, in_flight=1, rows_per_request=10) as careful:
        assert same_codes(client.encode("random", rows, max_atoms=3), careful.encode("random", rows, max_atoms=3))
        assert [len(part) for part in client.encode_parts("random", rows, max_atoms=3)] == [8] * 8


def test_progress(client, capsys):
    client.encode("random", ROWS, max_atoms=2)
    assert capsys.readouterr().err == ""
    client.encode("random", ROWS, max_atoms=2, progress=True)
    assert "encode random" in capsys.readouterr().err
