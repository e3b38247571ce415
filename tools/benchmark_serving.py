"""Measures the embedded server: what REST adds to a call, and what batching gains under load.

    python tools/benchmark_serving.py [--cases 10000x64 100000x64 100000x512] [--clients 32] [--seconds 4] [--json FILE]

A catalogue of random vectors is saved as a SavedModel that looks a user up, scores every item and returns the ids of
the best. It is called in this process, then asked over REST by a client in another process: alone, for the latency, and
by many connections at once, with and without batching. Reading the item table once for a whole batch is what batching
gains; finding the best places costs the same for each user, so the gain grows with the width of the vectors. Two rounds
take turns, so that what else the machine does meets all of them alike, and the better of each counts. Server and client
share the processors.
"""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import asyncio
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

USERS = 1000
ROUNDS = 2
TARGET_MS, TARGET_GAIN, TARGET_RATE = 1.0, 3.0, 2000


def save_model(folder: Path, items: int, dim: int, k: int) -> None:
    """A SavedModel `items`, version 1: user id -> the `k` items with the largest dot products, and these."""
    import numpy as np
    import tensorflow as tf

    random = np.random.default_rng(0)
    module = tf.Module()
    module.users = tf.Variable(random.normal(size=[USERS + 1, dim]).astype(np.float32))
    module.items = tf.Variable(random.normal(size=[dim, items]).astype(np.float32))
    module.ids = tf.Variable([f"item{number:06d}" for number in range(items)])
    keys = [f"user{number:04d}" for number in range(1, USERS + 1)]
    initializer = tf.lookup.KeyValueTensorInitializer(keys, tf.range(1, USERS + 1, dtype=tf.int64))
    module.table = tf.lookup.StaticHashTable(initializer, default_value=0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="user_id")])
    def recommend(user_id):
        scores = tf.matmul(tf.gather(module.users, module.table.lookup(user_id)), module.items)
        best, places = tf.math.top_k(scores, k)
        return {"item_id": tf.gather(module.ids, places), "score": best}

    module.recommend = recommend
    tf.saved_model.save(module, str(folder / "items" / "1"), signatures=recommend)


def call_in_process(folder: Path, calls: int) -> float:
    """Median milliseconds of the loaded signature for one user, arrays in and arrays out."""
    import tensorflow as tf

    signature = tf.saved_model.load(str(folder / "items" / "1")).signatures["serving_default"]
    seconds = []
    for number in range(calls):
        start = time.perf_counter()
        answer = signature(user_id=tf.constant([f"user{number % USERS:04d}"]))
        for value in answer.values():
            value.numpy()
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds[calls // 10 :])


async def ask(port: int, clients: int, seconds: float) -> dict[str, float]:
    """Keeps connections busy with predict calls; requests a second, and milliseconds of the median and of the 99 %."""
    took, wrong = [], 0
    start = time.perf_counter()
    warm, end = start + 0.25 * seconds, start + 1.25 * seconds

    async def client(number: int) -> None:
        nonlocal wrong
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (begun := time.perf_counter()) < end:
            number = (number + 7) % USERS
            body = b'{"instances": [{"user_id": "user%04d"}]}' % number
            head = b"POST /v1/models/items:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(
                body
            )
            writer.write(head + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            await reader.readexactly(length)
            wrong += not answer.startswith(b"HTTP/1.1 200")
            if begun > warm:
                took.append(time.perf_counter() - begun)
        writer.close()

    await asyncio.gather(*(client(31 * number) for number in range(clients)))
    took.sort()
    return {
        "requests/s": len(took) / seconds,
        "p50 ms": 1000 * took[len(took) // 2],
        "p99 ms": 1000 * took[int(len(took) * 0.99)],
        "errors": wrong,
    }


def serve(folder: Path, port: int, batch: int | None) -> None:
    from mmrec_tf.serving.server import serve as serve_models
    from mmrec_tf.serving.server_options import ServerOptions

    serve_models(folder, port=port, options=ServerOptions(max_batch_size=batch))


def start_server(folder: Path, port: int, batched: bool) -> subprocess.Popen:
    command = [sys.executable, __file__, "--serve", str(folder), str(port), "64" if batched else "1"]
    process = subprocess.Popen(command)
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=30)
            return process
        except urllib.error.URLError:
            time.sleep(0.1)
    raise RuntimeError("the server did not start")


def run_client(port: int, clients: int, seconds: float) -> dict[str, float]:
    command = [sys.executable, __file__, "--ask", str(port), str(clients), str(seconds)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def free_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def measure(items: int, dim: int, k: int, clients: int, seconds: float) -> dict:
    """All figures for one size of catalogue."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_model(folder, items, dim, k)
        in_process = call_in_process(folder, 400)
        found: dict[str, dict] = {}
        servers = {}
        try:
            for kind in ("batched", "alone"):
                port = free_port()
                servers[kind] = start_server(folder, port, kind == "batched"), port
            for _ in range(ROUNDS):
                for kind, (_, port) in servers.items():
                    for number in (1, clients):
                        got = run_client(port, number, seconds)
                        best = found.setdefault(f"{kind}, {number}", got)
                        if got["requests/s"] > best["requests/s"]:
                            found[f"{kind}, {number}"] = got
        finally:
            for process, _ in servers.values():
                process.send_signal(signal.SIGINT)
            for process, _ in servers.values():
                process.wait(30)
    return {"items": items, "dim": dim, "k": k, "in process ms": in_process, "rest": found}


def show(figures: dict, clients: int) -> None:
    rest, base = figures["rest"], figures["in process ms"]
    print(f"\n{figures['items']:,} items, dim {figures['dim']}, k {figures['k']}; in-process call {base:.2f} ms")
    print(f"{'server, clients':<16}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'p99/p50':>9}{'errors':>8}")
    for name, row in rest.items():
        p50, p99 = row["p50 ms"], row["p99 ms"]
        print(f"{name:<16}{row['requests/s']:>12.0f}{p50:>9.2f}{p99:>9.2f}{p99 / p50:>9.1f}{row['errors']:>8}")
    alone = rest["batched, 1"]["p50 ms"]
    together, single = rest[f"batched, {clients}"]["requests/s"], rest[f"alone, {clients}"]["requests/s"]
    target = f"2 x in-process + {TARGET_MS:g} = {2 * base + TARGET_MS:.2f} ms"
    print(f"latency at one client: {alone:.2f} ms; target {target}")
    print(
        f"gain of batching at {clients} clients: {together / single:.1f}; target {TARGET_GAIN:g} if scoring dominates"
    )
    print(f"at {clients} clients: {together:.0f} requests/s; target {TARGET_RATE} for 10,000 items")


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        serve(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
        return
    if sys.argv[1:2] == ["--ask"]:
        print(json.dumps(asyncio.run(ask(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cases = ["10000x64", "100000x64", "100000x512"]
    parser.add_argument("--cases", nargs="+", default=cases, metavar="NxD", help="items by width of their vectors")
    parser.add_argument("--k", type=int, default=100, help="items asked for")
    parser.add_argument("--clients", type=int, default=32, help="connections at once")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each measurement")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    figures = []
    for case in arguments.cases:
        items, dim = map(int, case.split("x"))
        figures.append(measure(items, dim, arguments.k, arguments.clients, arguments.seconds))
        show(figures[-1], arguments.clients)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
