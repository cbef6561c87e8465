"""The asyncio client: the same answers, several at a time."""

import asyncio
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import D, random_rows, same_codes

from pursuit_client import AsyncClient, Client, InvalidRequest

ROWS = random_rows(60)


def with_client(server, use, **options):
    async def run():
        async with AsyncClient(server.url, deadline=60, **options) as client:
            return await use(client)

    return asyncio.run(run())


def test_it_has_the_methods_and_arguments_of_the_other_client():
    def surface(kind):
        methods = inspect.getmembers(kind, inspect.isfunction)
        return {name: list(inspect.signature(method).parameters) for name, method in methods if name[0] != "_"}

    assert {**surface(AsyncClient), "close": ["self"]} == {**surface(Client), "aclose": ["self"]}


def test_encode(server, client):
    expected = client.encode("random", ROWS, max_atoms=4)
    for inputs in (ROWS, iter([ROWS[:7], ROWS[7:]])):
        codes = with_client(server, lambda one, inputs=inputs: one.encode("random", inputs, max_atoms=4), rows_per_request=8)
        assert same_codes(codes, expected)
    empty = with_client(server, lambda one: one.encode("random", ROWS[:0]))
    assert empty.shape[0] == 0


def test_blocks_that_come_in_over_time(server, client):
    async def blocks():
        for first in range(0, 60, 9):
            await asyncio.sleep(0)
            yield ROWS[first : first + 9]

    codes = with_client(server, lambda one: one.encode("random", blocks(), max_atoms=4), rows_per_request=8)
    assert same_codes(codes, client.encode("random", ROWS, max_atoms=4))


def test_leaving_early_ends_the_rest(server):
    taken = 0

    async def use(client):
        async def endless():
            nonlocal taken
            while True:
                taken += 1
                yield ROWS

        parts = client.encode_parts("random", endless(), max_atoms=2)
        async for _ in parts:
            break
        await parts.aclose()
        return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    assert with_client(server, use, rows_per_request=len(ROWS), in_flight=3) == []
    assert taken <= 1 + 3


def test_refusals_are_waited_out_and_faults_named(server, proxy, client):
    proxy.retry_after = "2"
    proxy.plan = lambda number: 429 if number % 3 == 1 else None
    codes = with_client(proxy, lambda one: one.encode("random", ROWS, max_atoms=4), rows_per_request=10)
    assert same_codes(codes, client.encode("random", ROWS, max_atoms=4))
    proxy.plan = lambda number: "half" if number % 3 == 1 else None
    assert same_codes(with_client(proxy, lambda one: one.encode("random", ROWS, max_atoms=4), rows_per_request=10), codes)

    rows = ROWS.copy()
    rows[41, 3] = np.nan
    with pytest.raises(InvalidRequest, match="Row 41, column 3"):
        with_client(server, lambda one: one.encode("random", rows), rows_per_request=10)


def test_the_other_calls(server, client):
    codes = client.encode("random", ROWS, max_atoms=4)
    edits = [{"feature": 3, "op": "add", "value": 1}]

    async def use(one):
        await one.put_steering_set("random", "mild", edits)
        sets = await one.list_steering_sets("random")
        await one.delete_steering_set("random", "mild")
        return (
            await one.decode("random", codes),
            (await one.steer("random", ROWS, edits)).outputs,
            (await one.transfer("random", "twin", ROWS, budget={"max_atoms": 3})).outputs,
            sets,
            len(await one.dictionaries()),
            (await one.dictionary("random"))["d"],
            (await one.search_features("minilm-wordnet-mp", "bird"))[0]["label"],
            (await one.get_feature("random", 3))["index"],
        )

    decoded, steered, moved, sets, *rest = with_client(server, use, rows_per_request=16)
    assert np.array_equal(decoded, client.decode("random", codes))
    assert np.array_equal(steered, client.steer("random", ROWS, edits).outputs)
    assert np.array_equal(moved, client.transfer("random", "twin", ROWS, budget={"max_atoms": 3}).outputs)
    assert [one["name"] for one in sets] == ["mild"]
    assert rest[:2] == [6, D]
    assert "bird" in rest[2]
    assert rest[3] == 3


def test_the_waiting_client_is_what_this_one_makes():
    check = [sys.executable, "tools/make_client.py", "--check"]
    made = subprocess.run(check, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr


def test_both_clients_say_the_same_of_their_calls():
    for name, method in inspect.getmembers(AsyncClient, inspect.isfunction):
        if name[0] != "_" and name not in ("aclose", "encode_parts"):
            assert inspect.getdoc(method)
            assert inspect.getdoc(method) == inspect.getdoc(getattr(Client, name))
