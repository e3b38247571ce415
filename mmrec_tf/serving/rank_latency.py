"""How long an exported ranking model takes for the candidates of one user, on one core.

    python -m mmrec_tf.serving.rank_latency < request.json

TensorFlow's threads are chosen once for a process, before its first op. So the model is asked by a process of its own,
which is told by JSON what to ask and answers with the milliseconds of each call. It runs the signature in a session, as
TensorFlow Serving does: a Python function of the same graph hands over every variable anew with each call, a tenth of
the time of a ranker that is quick otherwise.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmrec_tf.errors import ServingError

WARM_UP_CALLS = 10
"""Calls that are not counted: the first ones trace, optimise and allocate."""

_REQUESTS = 32
_TIMEOUT_SECONDS = 900.0
_ONE_THREAD = {name: "1" for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")}


@dataclass(frozen=True)
class RankLatency:
    """Milliseconds of one call of `rank`.

    Attributes:
        median, p99: float.
    """

    median: float
    p99: float


def rank_latency(
    version: Path, user_ids: list[str], item_ids: list[str], candidates: int = 500, calls: int = 300, seed: int = 0
) -> RankLatency:
    """Asks an exported ranking model for the candidates of one user at a time, with one thread of TensorFlow.

    Users and candidates are drawn, and differ from call to call. Of fewer items than candidates some come twice.

    Args:
        version: folder of one version of the `ranking` model.
        user_ids, item_ids: whom and what it knows.
        candidates: int. Items that are scored in a call. Defaults to 500.
        calls: int. Calls that are timed. Defaults to 300.
        seed: int. Of the draw. Defaults to 0.

    Raises:
        ServingError: if the model does not answer, with what it says.
    """
    random = np.random.default_rng(seed)
    users = random.choice(user_ids, min(_REQUESTS, len(user_ids)), replace=False)
    items = [random.choice(item_ids, candidates, replace=candidates > len(item_ids)) for _ in users]
    request = {
        "version": str(Path(version).absolute()),
        "users": users.tolist(),
        "items": [row.tolist() for row in items],
        "calls": calls,
    }
    # The package may not be installed but on the caller's path alone.
    paths = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, **_ONE_THREAD, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    try:
        process = subprocess.run(
            [sys.executable, "-m", "mmrec_tf.serving.rank_latency"],
            input=json.dumps(request),
            capture_output=True,
            encoding="utf-8",
            env=environment,
            timeout=_TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise ServingError(
            f"{version} did not answer {calls} calls within {_TIMEOUT_SECONDS:.0f} s. Ask for fewer calls."
        ) from error
    if process.returncode:
        said = process.stderr.strip().splitlines()
        raise ServingError(f"{version} could not be timed: {said[-1] if said else 'the process died'}")
    milliseconds = json.loads(process.stdout.splitlines()[-1])
    return RankLatency(float(np.median(milliseconds)), float(np.percentile(milliseconds, 99)))


def main() -> None:
    """Times what the standard input asks for, and prints the milliseconds of each call as JSON."""
    import tensorflow as tf

    request = json.load(sys.stdin)
    threads = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    milliseconds = []
    with tf.Graph().as_default(), tf.compat.v1.Session(config=threads) as session:
        definition = tf.compat.v1.saved_model.load(session, ["serve"], request["version"]).signature_def["rank"]
        asked = [definition.inputs[name].name for name in ("user_id", "item_ids")]
        rank = session.make_callable(definition.outputs["score"].name, feed_list=asked)
        inputs = [
            (np.array([user], object), np.array([items], object))
            for user, items in zip(request["users"], request["items"])
        ]
        for call in range(WARM_UP_CALLS + request["calls"]):
            start = time.perf_counter()
            rank(*inputs[call % len(inputs)])
            milliseconds.append(1000.0 * (time.perf_counter() - start))
    print(json.dumps(milliseconds[WARM_UP_CALLS:]))


if __name__ == "__main__":
    main()
