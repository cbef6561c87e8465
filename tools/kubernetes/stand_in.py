"""Stands in for the scheduler and for the kubelets of nodes without machines: binds pods, and says that they are ready.

    stand_in.py https://127.0.0.1:6443 TOKEN

A pod without a node goes to the schedulable node that has the fewest. It is ready READY_SECONDS after that, and gone as soon as it is
deleted. Containers do not run. Ends with the process that started it.
"""

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request

READY_SECONDS = 3
BASE, TOKEN = sys.argv[1:]
# The API server of the run makes its own certificate.
TLS = ssl._create_unverified_context()


def call(method: str, path: str, body: object = None, kind: str = "application/json") -> dict:
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": kind}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(BASE + path, data, headers, method=method)
    with urllib.request.urlopen(request, context=TLS, timeout=30) as answer:
        return json.load(answer)


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def bind(pod: dict, pods: list, nodes: list) -> None:
    free = [n["metadata"]["name"] for n in nodes if not n["spec"].get("unschedulable")]
    if not free:
        return
    here = lambda node: sum(p["spec"].get("nodeName") == node for p in pods)
    node = min(free, key=here)
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    name = pod["metadata"]["name"]
    body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
    call("POST", f"{path_of(pod)}/binding", body)
    pod["spec"]["nodeName"] = node


def make_ready(pod: dict) -> None:
    names = [c["name"] for c in pod["spec"]["containers"]]
    running = {"running": {"startedAt": now()}}
    statuses = [
        {"name": n, "ready": True, "started": True, "restartCount": 0, "image": "x", "imageID": "x", "state": running}
        for n in names
    ]
    conditions = [{"type": t, "status": "True", "lastTransitionTime": now()} for t in ("Ready", "ContainersReady")]
    status = {"phase": "Running", "startTime": now(), "conditions": conditions, "containerStatuses": statuses}
    call("PATCH", f"{path_of(pod)}/status", {"status": status}, "application/strategic-merge-patch+json")


def path_of(pod: dict) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


bound: dict[str, float] = {}
starter = os.getppid()
while os.getppid() == starter:
    try:
        nodes = call("GET", "/api/v1/nodes")["items"]
        pods = call("GET", "/api/v1/pods")["items"]
        for pod in pods:
            uid = pod["metadata"]["uid"]
            if "deletionTimestamp" in pod["metadata"]:
                call("DELETE", path_of(pod), {"gracePeriodSeconds": 0})
            elif "nodeName" not in pod["spec"]:
                bind(pod, pods, nodes)
                bound[uid] = time.monotonic()
            elif pod["status"].get("phase") == "Pending" and time.monotonic() - bound.get(uid, 0) > READY_SECONDS:
                make_ready(pod)
    except urllib.error.HTTPError as error:
        # A pod changed or went meanwhile.
        if error.code not in (404, 409):
            print(error.read().decode(), file=sys.stderr)
    time.sleep(0.5)
