"""LitServe around overcomplete's MpSAE, its own batching on.

python litserve_server.py FOLDER STEPS THREADS PORT BATCH TIMEOUT_MS
"""

import sys

import litserve as ls

from mp_model import MpModel


class MpApi(ls.LitAPI):
    def __init__(self, folder, steps, threads, **options):
        super().__init__(api_path="/encode", **options)
        self.arguments = folder, steps, threads

    def setup(self, device):
        self.model = MpModel(*self.arguments)

    def decode_request(self, request):
        return request["inputs"]

    def batch(self, inputs):
        return inputs

    def predict(self, batch):
        return self.model.encode_requests(batch)

    def unbatch(self, output):
        return output

    def encode_response(self, output):
        return {"codes": output}


if __name__ == "__main__":
    folder, steps, threads, port, batch, timeout = sys.argv[1], *map(int, sys.argv[2:])
    api = MpApi(folder, steps, threads, max_batch_size=batch, batch_timeout=timeout / 1000)
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=False)
    server.run(host="127.0.0.1", port=port, log_level="warning", generate_client_file=False)
