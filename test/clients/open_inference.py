"""What the real clients of the Open Inference Protocol make of a running server.

    python open_inference.py BASE DICTIONARY SPARE

BASE is the server's address, DICTIONARY one with d = 64 that takes every budget, SPARE one that may be unloaded. Every
check runs; the last line printed is a JSON object of check -> "ok" or a traceback. What an answer holds is compared with
what /v1 answers to the same rows.
"""

import asyncio
import json
import sys
import traceback
import urllib.request

import ml_dtypes
import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

BASE, MODEL, SPARE = sys.argv[1:]
HOST = BASE.removeprefix("http://")
D = 64
ROWS = np.random.default_rng(1).standard_normal((7, D)).astype(np.float32)
# Without one, a row is pursued to the server's cap: 4,096 steps.
BUDGET = {"max_atoms": 16}
STANDARD = ["indices", "values", "atoms", "relative_error", "stop"]
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def v1(budget, rows=ROWS):
    body = json.dumps({"inputs": rows.astype(np.float64).tolist(), "budget": budget}).encode()
    request = urllib.request.Request(
        f"{BASE}/v1/dictionaries/{MODEL}/encode", body, {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["codes"]


def same_codes(outputs, codes):
    """`outputs`: name -> array, as a client unpacked them; `codes`: what /v1 answered."""
    k = max(1, max(code["atoms"] for code in codes))
    assert outputs["indices"].shape == outputs["values"].shape == (len(codes), k), outputs["indices"].shape
    assert outputs["indices"].dtype == np.int32 and outputs["values"].dtype == np.float32
    for row, code in enumerate(codes):
        atoms = code["atoms"]
        assert outputs["atoms"][row] == atoms
        assert outputs["indices"][row, :atoms].tolist() == code["indices"]
        assert (outputs["indices"][row, atoms:] == -1).all() and (outputs["values"][row, atoms:] == 0).all()
        assert np.array_equal(outputs["values"][row, :atoms], np.float32(code["values"]))
        assert outputs["relative_error"][row] == np.float32(code["relative_error"])
        stop = outputs["stop"][row]
        assert (stop.decode() if isinstance(stop, bytes) else stop) == code["stop"]


def tensor(name, array, binary=True):
    made = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def unpack(result, names=STANDARD):
    return {name: result.as_numpy(name) for name in names}


def infer(inputs, parameters=BUDGET, **options):
    with triton.InferenceServerClient(HOST) as client:
        return client.infer(MODEL, inputs, parameters=parameters, **options)


def refused(call):
    try:
        call()
    except InferenceServerException as error:
        return error
    raise AssertionError("it was not refused")


@check
def triton_server():
    with triton.InferenceServerClient(HOST) as client:
        assert client.is_server_live() and client.is_server_ready()
        metadata = client.get_server_metadata()
        assert metadata["name"] == "pursuit"
        assert {"binary_tensor_data", "statistics", "model_repository"} <= set(metadata["extensions"])


@check
def triton_model():
    with triton.InferenceServerClient(HOST) as client:
        assert client.is_model_ready(MODEL) and client.is_model_ready(MODEL, "1")
        assert not client.is_model_ready("nothing") and not client.is_model_ready(MODEL, "2")
        metadata = client.get_model_metadata(MODEL)
        assert metadata["inputs"][0] == {"name": "rows", "datatype": "FP32", "shape": [-1, D]}
        config = client.get_model_config(MODEL, "1")
        assert config["max_batch_size"] > 0
        assert [one["name"] for one in config["input"]] == [one["name"] for one in metadata["inputs"]]
        assert [one["name"] for one in config["output"]] == [one["name"] for one in metadata["outputs"]]
        required = [one["name"] for one in config["input"] if not one["optional"]]
        assert required == ["rows"]


@check
def triton_infer_in_binary():
    """No output named: all of them, in binary."""
    result = infer([tensor("rows", ROWS)], parameters={"max_atoms": 9}, request_id="mine")
    response = result.get_response()
    assert (response["model_name"], response["model_version"], response["id"]) == (MODEL, "1", "mine")
    assert all("binary_data_size" in output["parameters"] for output in response["outputs"])
    same_codes(unpack(result), v1({"max_atoms": 9}))


@check
def triton_infer_in_json():
    outputs = [triton.InferRequestedOutput(name, binary_data=False) for name in STANDARD]
    result = infer([tensor("rows", ROWS, binary=False)], outputs=outputs, parameters={"tolerance": 0.5})
    same_codes(unpack(result), v1({"tolerance": 0.5}))


@check
def triton_named_outputs():
    """Only those named, in their order, each in the form that it asks for."""
    names = ["reconstruction", "atoms", "steps", "residual_norm"]
    outputs = [triton.InferRequestedOutput(name, binary_data=i % 2 == 0) for i, name in enumerate(names)]
    result = infer([tensor("rows", ROWS)], outputs=outputs, parameters={"max_atoms": 5})
    assert [output["name"] for output in result.get_response()["outputs"]] == names
    assert result.as_numpy("reconstruction").shape == ROWS.shape
    left = np.linalg.norm(ROWS - result.as_numpy("reconstruction"), axis=1)
    assert np.allclose(left, result.as_numpy("residual_norm"), rtol=1e-4)
    assert (result.as_numpy("steps") == 5).all()


@check
def triton_budgets_by_row():
    counts = np.arange(len(ROWS))
    expected = v1([{"max_atoms": int(count)} for count in counts])
    for array in (counts.astype(np.int32), counts.astype(np.int64).reshape(-1, 1)):
        for binary in (True, False):
            result = infer([tensor("rows", ROWS), tensor("max_atoms", array, binary=binary)], None)
            same_codes(unpack(result), expected)
    tolerances = np.linspace(0.3, 0.9, len(ROWS)).astype(np.float32)
    result = infer([tensor("tolerance", tolerances), tensor("rows", ROWS)], parameters={"max_atoms": 20})
    same_codes(unpack(result), v1([{"tolerance": float(one), "max_atoms": 20} for one in tolerances]))


@check
def triton_number_types():
    same_codes(unpack(infer([tensor("rows", ROWS.astype(np.float64))])), v1(BUDGET))
    half = ROWS.astype(np.float16)
    same_codes(unpack(infer([tensor("rows", half)])), v1(BUDGET, half.astype(np.float32)))
    brain = ROWS.astype(ml_dtypes.bfloat16)
    same_codes(unpack(infer([tensor("rows", brain)])), v1(BUDGET, brain.astype(np.float32)))


@check
def triton_compression():
    expected = v1(BUDGET)
    for algorithm in ("gzip", "deflate"):
        result = infer(
            [tensor("rows", ROWS)],
            request_compression_algorithm=algorithm,
            response_compression_algorithm=algorithm,
        )
        same_codes(unpack(result), expected)


@check
def triton_errors():
    with triton.InferenceServerClient(HOST) as client:
        missing = refused(lambda: client.infer("nothing", [tensor("rows", ROWS)]))
        assert missing.status() == "404" and "nothing" in missing.message(), missing
    narrow = refused(lambda: infer([tensor("rows", ROWS[:, :3].copy())]))
    assert narrow.status() == "422" and "takes rows of 64" in narrow.message(), narrow
    name = refused(lambda: infer([tensor("row", ROWS)]))
    assert '"row"' in name.message() and "max_atoms" in name.message(), name
    late = refused(lambda: infer([tensor("rows", ROWS)], timeout=1))
    assert late.status() == "504", late


@check
def triton_asynchronous():
    with triton.InferenceServerClient(HOST, concurrency=4) as client:
        waiting = [client.async_infer(MODEL, [tensor("rows", ROWS)], request_id=str(i), parameters=BUDGET) for i in range(8)]
        for i, one in enumerate(waiting):
            result = one.get_result()
            assert result.get_response()["id"] == str(i)
            same_codes(unpack(result), v1(BUDGET))


@check
def triton_asyncio():
    async def run():
        async with triton_aio.InferenceServerClient(HOST) as client:
            assert await client.is_server_ready()
            result = await client.infer(
                MODEL, [tensor("rows", ROWS)], parameters=BUDGET, request_compression_algorithm="gzip"
            )
            same_codes(unpack(result), v1(BUDGET))
            index = await client.get_model_repository_index()
            assert MODEL in [one["name"] for one in index]

    asyncio.run(run())


@check
def triton_statistics():
    with triton.InferenceServerClient(HOST) as client:
        (before,) = client.get_inference_statistics(MODEL)["model_stats"]
        client.infer(MODEL, [tensor("rows", ROWS)], parameters=BUDGET)
        (after,) = client.get_inference_statistics(MODEL, "1")["model_stats"]
        assert after["inference_count"] == before["inference_count"] + len(ROWS)
        success = after["inference_stats"]["success"]
        assert success["count"] == before["inference_stats"]["success"]["count"] + 1 and success["ns"] > 0
        assert after["execution_count"] > before["execution_count"]
        names = [one["name"] for one in client.get_inference_statistics()["model_stats"]]
        assert MODEL in names and SPARE in names


@check
def triton_repository():
    with triton.InferenceServerClient(HOST) as client:
        states = lambda: {one["name"]: one["state"] for one in client.get_model_repository_index()}
        client.load_model(SPARE)
        assert states()[SPARE] == "READY"
        client.unload_model(SPARE)
        assert states()[SPARE] == "UNAVAILABLE" and not client.is_model_ready(SPARE) and client.is_server_ready()
        client.load_model(SPARE)
        assert client.is_model_ready(SPARE)
        wrong = refused(lambda: client.load_model(SPARE, config='{"max_batch_size": 1}'))
        assert "config" in wrong.message(), wrong
        assert refused(lambda: client.load_model("nothing")).status() == "404"


def kserve(call):
    async def run():
        client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
        try:
            return await call(client)
        finally:
            await client.close()

    return asyncio.run(run())


def kserve_input(name, array, datatype, binary):
    made = InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


@check
def kserve_health():
    async def run(client):
        assert await client.is_server_live(BASE) is True
        assert await client.is_server_ready(BASE) is True
        assert await client.is_model_ready(BASE, MODEL) is True
        assert await client.is_model_ready(BASE, "nothing") is False

    kserve(run)


@check
def kserve_infer():
    for binary in (True, False):
        for array, datatype in ((ROWS, "FP32"), (ROWS.astype(np.float16), "FP16")):
            if datatype == "FP16" and not binary:
                continue
            request = InferRequest(
                MODEL, [kserve_input("rows", array, datatype, binary)], "theirs", parameters={"max_atoms": 6}
            )
            response = kserve(lambda client: client.infer(BASE, request, MODEL))
            assert response.id == "theirs" and response.model_name == MODEL
            outputs = {output.name: output.as_numpy() for output in response.outputs}
            same_codes(outputs, v1({"max_atoms": 6}, array.astype(np.float32)))


@check
def kserve_binary_outputs():
    request = InferRequest(
        MODEL,
        [kserve_input("rows", ROWS, "FP32", True)],
        parameters={**BUDGET, "binary_data_output": True},
        request_outputs=[RequestedOutput(name) for name in STANDARD],
    )
    response = kserve(lambda client: client.infer(BASE, request, MODEL))
    same_codes({output.name: output.as_numpy() for output in response.outputs}, v1(BUDGET))


@check
def kserve_error_text():
    """KServe's client reads it only where the content type is application/json and nothing beside it."""
    body = {"inputs": [{"name": "rows", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}
    try:
        kserve(lambda client: client.infer(BASE, body, MODEL))
    except Exception as error:
        assert "takes rows of 64" in str(error), error
    else:
        raise AssertionError("it was not refused")


results = {}
for one in CHECKS:
    try:
        one()
        results[one.__name__] = "ok"
    except BaseException:
        results[one.__name__] = traceback.format_exc()
print(json.dumps(results))
