"""Codes as a matrix: choosing rows, joining, files, other libraries."""

import numpy as np
import pytest
from conftest import D, M, random_rows, same_codes

from pursuit_client import Codes
from pursuit_client.tensors import read_tensors


@pytest.fixture(scope="module")
def codes(server):
    from pursuit_client import Client

    with Client(server.url) as client:
        return client.encode("normed", random_rows(9), max_atoms=6, include=["trace", "reconstruction"])


def test_columns(codes):
    assert codes.shape == (9, M)
    assert len(codes) == 9
    dense = codes.toarray()
    assert np.array_equal(dense, codes.csr.toarray())
    assert np.count_nonzero(dense) == len(codes.values) == codes.indptr[-1] == codes.atoms.sum()
    assert codes.mean_atoms == codes.atoms.mean()
    assert codes.norm_scale.shape == (9,)
    assert "9 rows over 256 features of normed" in repr(codes)


@pytest.mark.parametrize(
    ("key", "rows"),
    [
        (3, [3]),
        (-1, [8]),
        (slice(2, 5), [2, 3, 4]),
        (slice(None, None, -2), [8, 6, 4, 2, 0]),
        ([7, 1, 1], [7, 1, 1]),
        (np.arange(9) % 4 == 0, [0, 4, 8]),
        ([], []),
    ],
)
def test_rows_of_choice(codes, key, rows):
    taken = codes[key]
    assert np.array_equal(taken.toarray(), codes.toarray()[rows])
    assert np.array_equal(taken.stop, codes.stop[rows])
    assert np.array_equal(taken.reconstruction, codes.reconstruction[rows])
    assert np.array_equal(taken.norm_shift, codes.norm_shift[rows])
    assert len(taken.trace) == len(rows)
    for place, row in enumerate(rows):
        begin, end = codes.trace.indptr[row : row + 2]
        assert np.array_equal(taken.trace[place].indices, codes.trace.indices[begin:end])


def test_correlations(client, models, tmp_path):
    rows = random_rows(7)
    codes = client.encode("random", rows, max_atoms=4, include=["correlations"], correlations=9)
    atoms = read_tensors((models / "random" / "weights.safetensors").read_bytes())[0]["atoms"]
    scores = rows.astype(np.float64) @ atoms.astype(np.float64).T
    assert codes.correlations.shape == (7, M)
    dense = codes.correlations.toarray()
    for row, score in enumerate(scores):
        largest = np.sort(np.argsort(-score)[:9])
        assert np.array_equal(np.flatnonzero(dense[row]), largest)
        assert np.allclose(dense[row][largest], score[largest], atol=1e-5)
    assert np.array_equal(codes[[5, 2]].correlations.toarray(), dense[[5, 2]])
    assert np.array_equal(Codes.concatenate(list(codes)).correlations.toarray(), dense)
    codes.save(tmp_path / "codes.safetensors")
    assert np.array_equal(Codes.load(tmp_path / "codes.safetensors").correlations.toarray(), dense)


def test_rows_that_are_not_there(codes):
    with pytest.raises(IndexError):
        codes[9]
    with pytest.raises(TypeError, match="a number, a slice"):
        codes["first"]


def test_rows_in_turn_make_the_whole_again(codes):
    again = Codes.concatenate(list(codes))
    assert same_codes(again, codes)
    assert np.array_equal(again.trace.residual_norms, codes.trace.residual_norms)
    assert again.sha256 == codes.sha256


def test_columns_that_a_part_lacks_are_left_out(codes, server):
    bare = Codes.of_matrix(codes.csr)
    joined = Codes.concatenate([codes, bare])
    assert len(joined) == 18
    assert joined.trace is None
    assert joined.relative_error is None


def test_stop_reasons_of_parts_with_other_lists_of_names(codes):
    other = Codes.from_json(
        {
            "dictionary": "normed",
            "sha256": codes.sha256,
            "codes": [
                {"indices": [1], "values": [0.5], "steps": 1, "stop": "tolerance", "residual_norm": 1, "relative_error": 0.5},
                {"indices": [], "values": [], "steps": 0, "stop": "no_gain", "residual_norm": 1, "relative_error": 1},
            ],
        },
        M,
    )
    assert Codes.concatenate([other, codes]).stop.tolist() == ["tolerance", "no_gain", *codes.stop]


def test_a_file_and_back(codes, tmp_path):
    path = tmp_path / "codes.safetensors"
    codes.save(path)
    again = Codes.load(path)
    assert same_codes(again, codes)
    assert np.array_equal(again.reconstruction, codes.reconstruction)
    assert np.array_equal(again.trace.values, codes.trace.values)
    assert (again.dictionary, again.sha256, again.stop_names) == (codes.dictionary, codes.sha256, codes.stop_names)
    library = pytest.importorskip("safetensors.numpy")
    assert np.array_equal(library.load_file(path)["values"], codes.values)


def test_a_file_that_is_none(tmp_path, codes):
    path = tmp_path / "codes.safetensors"
    codes.save(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="not whole safetensors"):
        Codes.load(path)
    path.write_bytes(b"no safetensors at all")
    with pytest.raises(ValueError, match="not whole safetensors"):
        Codes.load(path)


def test_labels_shape_and_columns_of_a_newer_server_are_kept(client, tmp_path):
    from dataclasses import replace

    codes = client.encode("minilm-wordnet-mp", random_rows(4, 384).reshape(2, 2, 384), max_atoms=5, include=["labels"])
    codes = replace(codes, extra={"typicality": np.arange(4, dtype=np.float32)}, encoder={"kind": "orthogonal"})
    codes.save(tmp_path / "labelled")
    again = Codes.load(tmp_path / "labelled")
    assert again.labels.tolist() == codes.labels.tolist()
    assert again.inputs_shape == (2, 2, 384)
    assert again.encoder == Codes.concatenate([again, again]).encoder == {"kind": "orthogonal"}
    assert "model, layer and scale" in again.warning == Codes.concatenate([again, again]).warning == codes.warning
    assert again[1:3].extra["typicality"].tolist() == [1, 2]
    assert again[2].labels.tolist() == codes.labels[codes.indptr[2] : codes.indptr[3]].tolist()


def test_values_may_be_changed(codes):
    own = codes[:]
    own.values[:] = 0
    assert own.toarray().sum() == 0


def test_polars(client):
    polars = pytest.importorskip("polars")
    codes = client.encode("minilm-wordnet-mp", random_rows(3, 384), max_atoms=5, include=["labels"])
    frame = codes.to_polars()
    assert frame.columns == ["row", "feature", "value", "label"]
    assert frame.height == len(codes.values)
    one = frame.filter(polars.col("row") == 1)
    assert one["feature"].to_list() == codes[1].indices.tolist()
    assert client.encode("random", random_rows(1), max_atoms=2).to_polars().columns == ["row", "feature", "value"]


def test_an_answer_may_be_written_into(client):
    codes = client.encode("random", np.ones((1, D)), max_atoms=2)
    codes.csr.data *= 2
