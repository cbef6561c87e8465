"""Searches WordNet's rows by their sparse codes and compares the answers with dense cosine (docs/search.md).

    python examples/search/search.py --rows embeddings/rows.npy [--url http://127.0.0.1:8080] [--max-atoms 8 16 32]

`rows.npy` is what tools/train/embed.py writes. A document is its code. A query is its code, or the largest of D·(x − b)
("correlations"). Prints recall@10 against the ten rows of largest cosine, how many of these are among the first 100, and the time of
a query on one thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import qdrant_edge as edge
import seismic
from pursuit_client import Client
from qdrant_client import QdrantClient, models
from scipy.sparse import csr_array

SEED = 20250603
Found = list[npt.NDArray[np.int64]]
#: Rows looked at for the second figure.
DEEP = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", required=True, help="float32 [n, d] of unit length, as .npy")
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--dictionary", default="minilm-wordnet-mp")
    parser.add_argument("--max-atoms", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--correlations", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--local-queries", type=int, default=3, help="0: none; Qdrant's local mode scans all documents")
    arguments = parser.parse_args()

    rows = np.load(arguments.rows)
    order = np.random.default_rng(SEED).permutation(len(rows))
    queries, documents = rows[order[: arguments.queries]], rows[order[arguments.queries :]]
    started = time.perf_counter()
    truth = nearest(queries @ documents.T, 10)
    dense = (time.perf_counter() - started) / len(queries)
    print(f"{len(documents)} documents, {len(queries)} queries; dense cosine {1000 * dense:.2f} ms a query\n")
    print("| documents | query | index | recall@10 | among the first 100 | ms a query |")
    print("| --- | --- | --- | ---: | ---: | ---: |")
    with Client(arguments.url, deadline=3600) as client:
        for atoms in arguments.max_atoms:
            largest = max(arguments.correlations)
            codes = client.encode(arguments.dictionary, documents, max_atoms=atoms, progress=False).csr
            asked = client.encode(
                arguments.dictionary, queries, max_atoms=atoms, include=["correlations"], correlations=largest, progress=False
            )
            by_code = {f"code of {atoms}": asked.csr}
            by_correlations = {f"{n} correlations": largest_of(asked.correlations, n) for n in arguments.correlations}
            for name, query in {**by_code, **by_correlations}.items():
                report(f"{atoms} atoms", name, "scipy, exact", truth, len(queries), lambda n, q=query: exact(codes, q[:n]))
            best = by_correlations[f"{largest} correlations"]
            name = f"{largest} correlations"
            index = seismic_index(codes)
            for cut, factor in ((16, 0.9), (64, 0.7), (64, 0.9)):
                report(
                    f"{atoms} atoms",
                    name,
                    f"Seismic, query_cut {cut}, heap_factor {factor}",
                    truth,
                    len(queries),
                    lambda n, c=cut, f=factor: by_seismic(index, best[:n], c, f),
                )
            with tempfile.TemporaryDirectory() as folder:
                shard = edge_shard(codes, folder)
                report(f"{atoms} atoms", name, "Qdrant Edge", truth, len(queries), lambda n: by_edge(shard, best[:n]))
                shard.close()
            few = min(arguments.local_queries, len(queries))
            if few == 0:
                continue
            local = qdrant_collection(codes)
            report(f"{atoms} atoms", name, "Qdrant, local mode", truth, few, lambda n: by_qdrant(local, best[:n]))


def nearest(scores: npt.NDArray[np.float32], most: int) -> npt.NDArray[np.int64]:
    """The `most` largest of each row, the largest first."""
    found = np.argpartition(-scores, most, axis=1)[:, :most]
    return np.take_along_axis(found, np.argsort(-np.take_along_axis(scores, found, axis=1), axis=1), axis=1)


def largest_of(correlations: csr_array, most: int) -> csr_array:
    """The `most` largest entries of each row, and no negative one: codes have none either."""
    kept = correlations.toarray()
    limit = np.partition(kept, -most, axis=1)[:, -most]
    return csr_array(np.where((kept >= limit[:, None]) & (kept > 0), kept, 0).astype(np.float32))


def report(documents: str, query: str, index: str, truth, count: int, search: Callable[[int], Found]) -> None:
    started = time.perf_counter()
    found = search(count)
    each = 1000 * (time.perf_counter() - started) / count
    first = np.mean([len(np.intersect1d(truth[i], found[i][:10])) / 10 for i in range(count)])
    deep = np.mean([len(np.intersect1d(truth[i], found[i])) / 10 for i in range(count)])
    print(f"| {documents} | {query} | {index} | {first:.3f} | {deep:.3f} | {each:.2f} |", flush=True)


def exact(codes: csr_array, queries: csr_array) -> Found:
    by_feature = codes.T.tocsr()
    found: Found = []
    for first in range(0, queries.shape[0], 100):
        found.extend(nearest((queries[first : first + 100] @ by_feature).toarray(), DEEP))
    return found


def seismic_index(codes: csr_array) -> seismic.SeismicIndex:
    kind = seismic.get_seismic_string()
    dataset = seismic.SeismicDataset()
    for row in range(codes.shape[0]):
        begin, end = codes.indptr[row : row + 2]
        dataset.add_document(str(row), codes.indices[begin:end].astype(kind), codes.data[begin:end])
    return seismic.SeismicIndex.build_from_dataset(dataset, num_threads=2)


def by_seismic(index: seismic.SeismicIndex, queries: csr_array, cut: int, factor: float) -> Found:
    kind = seismic.get_seismic_string()
    spans = list(zip(queries.indptr[:-1], queries.indptr[1:], strict=True))
    found = index.batch_search(
        np.array([str(row) for row in range(len(spans))], dtype=kind),
        [queries.indices[begin:end].astype(kind) for begin, end in spans],
        [queries.data[begin:end] for begin, end in spans],
        k=DEEP,
        query_cut=cut,
        heap_factor=factor,
        num_threads=1,
    )
    ordered: Found = [np.zeros(0, np.int64)] * len(spans)
    for one in found:
        if one:
            ordered[int(one[0][0])] = np.array([int(document) for _, _, document in one])
    return ordered


def edge_shard(codes: csr_array, folder: str) -> edge.EdgeShard:
    """Qdrant's own engine in this process: the inverted index that its server has, built and optimised."""
    config = edge.EdgeConfig(sparse_vectors={"code": edge.EdgeSparseVectorParams()}, max_search_threads=1)
    shard = edge.EdgeShard.create(folder, config)
    for first in range(0, codes.shape[0], 1000):
        last = min(first + 1000, codes.shape[0])
        points = [edge.Point(row, {"code": edge_vector(codes, row)}) for row in range(first, last)]
        shard.update(edge.UpdateOperation.upsert_points(points))
    shard.optimize()
    return shard


def edge_vector(matrix: csr_array, row: int) -> edge.SparseVector:
    begin, end = matrix.indptr[row : row + 2]
    return edge.SparseVector(matrix.indices[begin:end].tolist(), matrix.data[begin:end].tolist())


def by_edge(shard: edge.EdgeShard, queries: csr_array) -> Found:
    def first_of(row: int) -> npt.NDArray[np.int64]:
        nearest = edge.Query.Nearest(edge_vector(queries, row), using="code")
        return np.array([point.id for point in shard.query(edge.QueryRequest(limit=DEEP, query=nearest))])

    return [first_of(row) for row in range(queries.shape[0])]


def qdrant_collection(codes: csr_array) -> QdrantClient:
    client = QdrantClient(":memory:")
    client.create_collection("rows", vectors_config={}, sparse_vectors_config={"code": models.SparseVectorParams()})
    for first in range(0, codes.shape[0], 1000):
        last = min(first + 1000, codes.shape[0])
        points = [
            models.PointStruct(id=row, vector={"code": sparse_vector(codes, row)}, payload={}) for row in range(first, last)
        ]
        client.upsert("rows", points)
    return client


def sparse_vector(matrix: csr_array, row: int) -> models.SparseVector:
    begin, end = matrix.indptr[row : row + 2]
    return models.SparseVector(indices=matrix.indices[begin:end].tolist(), values=matrix.data[begin:end].tolist())


def by_qdrant(client: QdrantClient, queries: csr_array) -> Found:
    return [
        np.array([point.id for point in client.query_points("rows", query=sparse_vector(queries, row), using="code", limit=DEEP).points])
        for row in range(queries.shape[0])
    ]


if __name__ == "__main__":
    main()
