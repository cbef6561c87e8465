"""FastAPI on uvicorn around overcomplete's MpSAE, with the batcher that people write beside it.

python fastapi_server.py FOLDER STEPS THREADS PORT BATCH TIMEOUT_MS
"""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, Request

from mp_model import MpModel


class Batcher:
    """Requests wait until the batch is full or its first has waited long enough, then go through the model at once."""

    def __init__(self, model, size, seconds):
        self.model, self.size, self.seconds = model, size, seconds
        self.queue = asyncio.Queue()
        self.executor = ThreadPoolExecutor(1)

    async def encode(self, rows):
        answer = asyncio.get_running_loop().create_future()
        await self.queue.put((rows, answer))
        return await answer

    async def run(self):
        loop = asyncio.get_running_loop()
        while True:
            waiting = [await self.queue.get()]
            end = loop.time() + self.seconds
            while len(waiting) < self.size:
                try:
                    waiting.append(await asyncio.wait_for(self.queue.get(), max(0, end - loop.time())))
                except TimeoutError:
                    break
            try:
                rows = [one for one, _ in waiting]
                codes = await loop.run_in_executor(self.executor, self.model.encode_requests, rows)
                for (_, answer), code in zip(waiting, codes):
                    if not answer.done():
                        answer.set_result(code)
            except Exception as error:  # of this batch alone; the next one may do
                for _, answer in waiting:
                    if not answer.done():
                        answer.set_exception(error)


def application(model, size, seconds):
    @asynccontextmanager
    async def lifespan(app):
        app.state.batcher = Batcher(model, size, seconds)
        task = asyncio.create_task(app.state.batcher.run())
        yield
        task.cancel()

    app = FastAPI(lifespan=lifespan)

    @app.post("/encode")
    async def encode(request: Request):
        # The body as it is: a pydantic model of number lists would cost more than the parsing.
        return {"codes": await app.state.batcher.encode((await request.json())["inputs"])}

    @app.get("/health")
    async def health():
        return "ok"

    return app


if __name__ == "__main__":
    folder, steps, threads, port, batch, timeout = sys.argv[1], *map(int, sys.argv[2:])
    app = application(MpModel(folder, steps, threads), batch, timeout / 1000)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
