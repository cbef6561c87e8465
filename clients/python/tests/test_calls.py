"""The calls beside encode, each against the built server."""

import numpy as np
import pytest
from conftest import D, M, random_rows
from scipy.sparse import csr_matrix

from pursuit_client import Client, Conflict, InvalidRequest, NotFound, Unavailable


def test_dictionaries(client):
    ids = {one["id"] for one in client.dictionaries()}
    assert ids == {"random", "normed", "twin", "transcoder", "minilm-wordnet-mp", "minilm-wordnet-topk"}
    about = client.dictionary("random")
    assert (about["d"], about["m"], about["kind"]) == (D, M, "matching_pursuit")
    with pytest.raises(NotFound):
        client.dictionary("missing")


def test_decode_gives_the_reconstruction(server, client):
    rows = random_rows(23)
    for name in ("random", "normed"):
        codes = client.encode(name, rows, max_atoms=8, include=["reconstruction"])
        assert np.allclose(client.decode(name, codes), codes.reconstruction, atol=1e-5)
        with Client(server.url, rows_per_request=5) as small:
            assert np.array_equal(small.decode(name, codes), client.decode(name, codes))
    assert np.allclose(client.decode("random", csr_matrix(client.encode("random", rows).csr)).shape, (23, D))


def test_decode_of_no_rows_and_of_what_are_no_codes(client):
    codes = client.encode("random", random_rows(3), max_atoms=2)
    assert client.decode("random", codes[:0]).shape == (0, D)
    with pytest.raises(TypeError, match="scipy sparse"):
        client.decode("random", codes.toarray())
    with pytest.raises(InvalidRequest, match="version"):
        client.decode("minilm-wordnet-mp", codes)


def test_decode_of_a_transcoder_with_a_skip_takes_its_inputs(server):
    rows = random_rows(12)
    with Client(server.url, rows_per_request=5) as client:
        codes = client.encode("transcoder", rows, include=["reconstruction"])
        assert np.allclose(client.decode("transcoder", codes, inputs=rows), codes.reconstruction, atol=1e-4)
        narrow = client.encode("transcoder", rows, group=16, include=["reconstruction"])
        assert narrow.indices.max() < 16
        assert np.allclose(client.decode("transcoder", codes, inputs=rows, group=16), narrow.reconstruction, atol=1e-4)
        with pytest.raises(ValueError, match="inputs has 3 rows for 12 codes"):
            client.decode("transcoder", codes, inputs=rows[:3])


def test_steer(server, client):
    rows = random_rows(20)
    edits = [
        {"feature": 3, "op": "add", "value": np.float32(0.5)},
        {"feature": 9, "op": "add_direction", "strength": 2, "rows": [0, 13]},
        {"vector": np.ones(D, np.float32), "op": "project_out", "rows": [19]},
    ]
    steered = client.steer("random", rows, edits)
    assert steered.outputs.shape == (20, D)
    assert steered.changes is None
    with Client(server.url, rows_per_request=6) as small:
        assert np.array_equal(small.steer("random", rows, edits).outputs, steered.outputs)
    assert np.array_equal(client.steer("random", rows).outputs, rows)
    only = client.steer("random", rows, edits[:1], rows=[7]).outputs
    assert np.array_equal(only[:7], rows[:7])
    assert not np.array_equal(only[7], rows[7])
    assert client.steer("random", rows[:0], edits[:1]).outputs.shape == (0, D)


def test_effects_of_steering(server):
    rows = random_rows(8)
    with Client(server.url, rows_per_request=3) as client:
        effects = client.steer(
            "random", rows, [{"feature": 3, "op": "set", "value": 2}], include=["effect"], budget={"max_atoms": 9}
        )
    assert len(effects.changes) == 8
    assert all(change["edits"][0]["after"] == 2 for change in effects.changes)
    assert np.allclose(
        [change["norm"] for change in effects.changes], np.linalg.norm(effects.outputs - rows, axis=1), atol=1e-5
    )


def test_edits_that_are_wrong(client):
    rows = random_rows(4)
    with pytest.raises(InvalidRequest) as refused:
        client.steer("random", rows, [{"feature": 1, "op": "remove"}, {"feature": 1, "op": "set"}])
    assert (refused.value.code, refused.value.field) == ("PURSUIT_INVALID_EDIT", "edits[1].value")
    for fields in ({"edits": [{"feature": 1, "op": "remove", "rows": [4]}]}, {"rows": [-1]}):
        with pytest.raises(ValueError, match="there are rows 0 to 3"):
            client.steer("random", rows, **fields)


def test_steering_sets(client):
    edits = [{"feature": 3, "op": "scale", "value": 0.5}]
    saved = client.put_steering_set("random", "calm/1".replace("/", "-"), edits, if_none_match="*")
    assert (saved["name"], saved["edits"]) == ("calm-1", edits)
    with pytest.raises(Conflict) as conflict:
        client.put_steering_set("random", "calm-1", edits, if_none_match="*")
    assert conflict.value.code == "PURSUIT_PRECONDITION_FAILED"
    assert client.put_steering_set("random", "calm-1", edits, if_match=saved["etag"])["edits"] == edits
    assert client.get_steering_set("random", "calm-1")["edits"] == edits
    assert [(one["name"], one["edits"]) for one in client.list_steering_sets("random")] == [("calm-1", 1)]
    rows = random_rows(3)
    by_set = client.steer("random", rows, set="calm-1").outputs
    assert np.array_equal(by_set, client.steer("random", rows, edits).outputs)
    client.delete_steering_set("random", "calm-1")
    with pytest.raises(NotFound):
        client.get_steering_set("random", "calm-1")


def test_features(client):
    found = client.search_features("minilm-wordnet-mp", "bird", limit=3)
    assert len(found) == 3
    assert "bird" in found[0]["label"]
    feature = client.get_feature("minilm-wordnet-mp", found[0]["index"])
    assert feature["label"] == found[0]["label"]
    assert feature["neighbours"][0]["cosine"] > 0
    about = client.dictionary("random")
    assert about["d_out"] == D
    vector = client.decode("random", csr_matrix(([1.0], ([0], [7])), shape=(1, M)))
    nearest = client.find_features("random", vector[0], n=3)
    assert [len(nearest), nearest[0]["index"], round(nearest[0]["cosine"], 4)] == [3, 7, 1]
    assert client.find_features("random", vector.astype(np.float64), n=3) == nearest
    with pytest.raises(ValueError, match="row holds 2 rows"):
        client.find_features("random", random_rows(2))
    with pytest.raises(NotFound) as missing:
        client.get_feature("random", M)
    assert missing.value.code == "PURSUIT_FEATURE_NOT_FOUND"


def test_transfer(server, client):
    rows = random_rows(11)
    moved = client.transfer("random", "twin", rows, budget={"max_atoms": 5})
    assert moved.outputs.shape == (11, 24)
    assert moved.codes.shape == (11, M)
    assert moved.codes.atoms.max() == 5
    assert moved.to["dictionary"] == "twin"
    assert np.allclose(client.decode("twin", moved.codes.csr), moved.outputs, atol=1e-5)
    with Client(server.url, rows_per_request=4) as small:
        assert np.array_equal(small.transfer("random", "twin", rows, budget={"max_atoms": 5}).outputs, moved.outputs)
    assert client.transfer("random", "twin", rows[:0]).outputs.shape == (0, 24)
    with pytest.raises(InvalidRequest) as refused:
        client.transfer("random", "minilm-wordnet-mp", rows)
    assert refused.value.code == "PURSUIT_NOT_TRANSFERABLE"


def test_load_and_unload(client):
    client.unload("twin")
    # A dictionary that was unloaded does not come back by waiting.
    with pytest.raises(Unavailable) as gone:
        client.encode("twin", random_rows(1, 24))
    assert gone.value.code == "PURSUIT_NOT_READY"
    client.load("twin")
    assert client.encode("twin", random_rows(1, 24), max_atoms=1).shape == (1, M)
    with pytest.raises(NotFound):
        client.load("missing")


def test_contrast_of_rows_codes_and_matrices(client):
    rows = random_rows(20)
    options = {"budget": {"max_atoms": 4}, "limit": 5, "permutations": 20, "seed": 1}
    found = client.contrast("random", rows[:8], rows[8:], **options)
    assert [found["a"]["rows"], found["b"]["rows"]] == [8, 12]
    assert len(found["features"]) == 5
    assert found["chance"]["permutations"] == 20
    codes = client.encode("random", rows, max_atoms=4)
    assert client.contrast("random", codes[:8], codes[8:], **options) == found
    assert client.contrast("random", codes[:8].csr, rows[8:], **options) == found
    assert client.contrast("random", rows[:8], rows[8:].astype(np.float64), **options) == found
    assert client.contrast("random", rows[:8].tolist(), rows[8:].tolist(), **options)["a"] == found["a"]
    with pytest.raises(InvalidRequest, match="sort"):
        client.contrast("random", codes[:8], codes[8:], sort="best")
    with pytest.raises(InvalidRequest, match="sort"):
        client.contrast("random", rows[:8], rows[8:], sort="best")
