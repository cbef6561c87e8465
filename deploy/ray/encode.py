"""A Ray job: codes of a Parquet dataset, written as Parquet.

    ray job submit --working-dir deploy/ray -- python encode.py \
      s3://bucket/activations s3://bucket/codes --dictionary my-dictionary --column x --max-atoms 32

Each worker node needs `pursuit-client[ray]`, and either Pursuit itself (`--command "pursuit serve --models-dir /models"`) or a
server that listens beside it (`--url http://127.0.0.1:8080`, as the sidecar of rayjob.yaml). Start nodes with
`--resources='{"pursuit": 1}'`.
"""

from __future__ import annotations

import argparse
import shlex

import ray

from pursuit_client.ray import RESOURCE, encode_dataset


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--dictionary", required=True)
    parser.add_argument("--column", required=True)
    parser.add_argument("--max-atoms", type=int)
    parser.add_argument("--tolerance", type=float)
    parser.add_argument("--most", type=int, help="actors at most; by default one for each node that is there now")
    server = parser.add_mutually_exclusive_group()
    server.add_argument("--url", help="a server beside each actor")
    server.add_argument("--command", default="pursuit serve", help="starts a server for each actor")
    given = parser.parse_args()

    ray.init()
    # Small files would be joined into few blocks, and few blocks keep few nodes busy.
    ray.data.DataContext.get_current().target_max_block_size = 64 << 20
    budget = {name: value for name in ("max_atoms", "tolerance") if (value := getattr(given, name)) is not None}
    # A sidecar serves its own node, so there too an actor a node.
    where = {"url": given.url} if given.url else {"server": {"command": shlex.split(given.command)}}
    codes = encode_dataset(
        ray.data.read_parquet(given.source),
        given.dictionary,
        given.column,
        resources={RESOURCE: 1},
        concurrency=(1, given.most) if given.most else None,
        **where,
        **budget,
    )
    codes.write_parquet(given.target)


if __name__ == "__main__":
    main()
