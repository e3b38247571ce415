"""One measurement, one process: how it is started, and what it measures of itself. Standard library only."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]


class MeasurementError(Exception):
    """A measuring process that came to no result."""


def measured(script: str, spec: dict, threads: int, python: Path | str = sys.executable) -> dict:
    """What a script of this folder finds out about `spec`, in a process of its own.

    Args:
        script: its file name without the ending.
        spec: what to measure, as JSON holds it. `operation_threads`, where it is there, are those that one operation of
            TensorFlow's is shared among, in place of `threads`.
        threads: int. Threads for the numeric libraries.
        python: the interpreter.

    Raises:
        MeasurementError: with the last lines of what the process wrote, where it failed or could not be started.
    """
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTEROP_THREADS")}
    environment = {
        **os.environ,
        **limits,
        "TF_NUM_INTRAOP_THREADS": str(spec.get("operation_threads", threads)),
        "TF_USE_LEGACY_KERAS": "1",
        # What importing mmrec_tf asks for, so that the others' rows have it as well.
        "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": str(REPOSITORY),
    }
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [str(python), str(HERE / f"{script}.py"), json.dumps(spec), str(answer)]
        # In a folder of its own, because some libraries leave logs where they are started.
        try:
            done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
        except OSError as error:
            raise MeasurementError(f"{python} cannot be started: {error}") from error
        if done.returncode or not answer.is_file():
            raise MeasurementError(f"{script} {spec}: " + " | ".join(done.stderr.strip().splitlines()[-3:]))
        return json.loads(answer.read_text(encoding="utf-8"))


def answer(work) -> None:
    """The other side of `measured`: calls `work` with the spec and hands back what it returns, with the peak memory."""
    found = work(json.loads(sys.argv[1]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    Path(sys.argv[2]).write_text(json.dumps({"peak_mb": peak, **found}), encoding="utf-8")


def clocks() -> tuple[float, float]:
    """Wall time and CPU time of this process, all of its threads, in seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), used.ru_utime + used.ru_stime


def quickest(moments: list[tuple[float, float]], work: float = 1.0) -> dict[str, float]:
    """Seconds of wall and CPU time for one of `work` pieces, each the least of the spans between the moments.

    Args:
        moments: what `clocks` said at the start and after every span.
        work: float. Pieces of work in a span.
    """
    spans = [[late - early for early, late in zip(*pair)] for pair in zip(moments, moments[1:])]
    wall, cpu = (min(span[place] for span in spans) / work for place in (0, 1))
    return {"wall": wall, "cpu": cpu}


def resident_megabytes() -> float:
    """Memory of this process at the moment, where the system has a /proc."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20
