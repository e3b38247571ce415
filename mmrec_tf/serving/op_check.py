"""Whether stock TensorFlow Serving can run an exported model, told from its file before any server sees it.

TensorFlow Serving is a C++ program: it runs the ops that are linked into it and nothing else. A graph with a Python
function, an op of another library or one compiled by XLA saves and reloads in Python without a word, and fails in the
server. The list of what the server runs is `serving_ops.txt`, where it is also said how it was made.

Ops of `ASKED_LIBRARIES` may be asked for (`export.index: scann`), for a server that is built with them. A version says
so in `NEEDED_OPS_FILE`, and then they are no refusals but `ModelCheck.needs`.
"""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mmrec_tf.errors import ServingError

MAX_CONSTANT_BYTES = 4 * 2**20
"""Largest constant of a graph, in bytes; what is larger belongs in a variable, which is saved beside the graph."""

_PYTHON = {"PyFunc", "PyFuncStateless", "EagerPyFunc", "NumpyFunction"}
_XLA_OPS = ("Xla", "_Xla")
_XLA_ATTRIBUTES = ("_XlaMustCompile", "jit_compile")
# How the ops of libraries that recommenders use are named.
_LIBRARIES = {"Scann>": "ScaNN", "IO>": "tensorflow-io", "Addons>": "tensorflow-addons", "SimpleML": "TF-DF"}

ASKED_LIBRARIES = ("ScaNN",)
"""Libraries whose ops an export may ask for."""

NEEDED_OPS_FILE = Path("assets.extra") / "needed_ops.json"
"""In a version's folder: what it was asked to need beside the ops of stock TensorFlow Serving."""


@dataclass(frozen=True)
class Refusal:
    """Something in a graph that the server would not run.

    Attributes:
        op: str. The op's name; `Const` for a constant that is too large.
        node: str. The node that brought it; what stands before its last slash names the layer.
        function: str. The function of the graph's library that the node is in, or `""` for the graph itself.
        reason: str.
    """

    op: str
    node: str
    function: str
    reason: str

    def __str__(self) -> str:
        where = f"function {self.function}" if self.function else "the graph"
        return f"{self.op} (node {self.node!r} in {where}): {self.reason}"


@dataclass(frozen=True)
class ModelCheck:
    """What was found in one version of a model.

    Attributes:
        path: the version's folder.
        ops: names of the ops in it, sorted.
        refusals: what the server would not run; empty when it runs everything.
        needs: ops that stock TensorFlow Serving does not have either, and that the version was asked to have.
    """

    path: Path
    ops: tuple[str, ...]
    refusals: tuple[Refusal, ...]
    needs: tuple[Refusal, ...] = ()

    @property
    def needs_text(self) -> bool:
        """Whether it uses ops of TF.Text, which a Python process has to import before it loads the model."""
        return bool(set(self.ops) & served_ops()["text"])

    @property
    def needs_scann(self) -> bool:
        """Whether it uses ops of ScaNN, asked for or not."""
        return any(_library_of(op) == "ScaNN" for op in self.ops)

    @property
    def libraries(self) -> tuple[str, ...]:
        """The libraries of `needs`."""
        return tuple(sorted({_library_of(need.op) for need in self.needs}))

    def to_dict(self) -> dict:
        """The same as JSON takes it."""
        lists = {name: [vars(one) for one in getattr(self, name)] for name in ("refusals", "needs")}
        return {"path": str(self.path), "ops": list(self.ops), "needs_text": self.needs_text, **lists}


@cache
def served_ops() -> dict[str, frozenset[str]]:
    """Names of the ops that stock TensorFlow Serving 2.16 to 2.20 runs: `core`, TensorFlow's own, and `text`."""
    groups: dict[str, set[str]] = {"core": set(), "text": set()}
    group = None
    for line in Path(__file__).with_name("serving_ops.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            group = groups.get(line.lstrip("# "), group)
        elif line:
            group.add(line)
    return {name: frozenset(ops) for name, ops in groups.items()}


def check_export(folder: str | Path) -> list[ModelCheck]:
    """Checks every SavedModel of an export folder, of a model's folder, or one version alone.

    Args:
        folder: holds `<name>/<version>/saved_model.pb`, `<version>/saved_model.pb` or `saved_model.pb`.

    Raises:
        ServingError: if there is none, or one cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ServingError(f"{folder} is no folder. Name an export folder, a model's folder in it, or one version.")
    found = next(
        (paths for depth in ("", "*/", "*/*/") if (paths := [*folder.glob(f"{depth}saved_model.pb")])),
        [],
    )
    # What is being written, or was left by a killed export, has a hidden name, and the server does not see it either.
    versions = [path.parent for path in found if not any(part[0] == "." for part in path.relative_to(folder).parts)]
    if not versions:
        raise ServingError(
            f"{folder} holds no SavedModel (<name>/<version>/saved_model.pb). Write one with: mmrec export RUN"
        )
    return [check_model(path) for path in sorted(versions, key=_by_number)]


def check_model(version: str | Path, asked: Collection[str] | None = None) -> ModelCheck:
    """Checks one version of a model, the folder that holds `saved_model.pb`.

    Args:
        version: the folder.
        asked: those of `ASKED_LIBRARIES` whose ops it is to have; None, the default, for what it says itself.

    Raises:
        ServingError: if the file cannot be read.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    path = Path(version) / "saved_model.pb"
    try:
        saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise ServingError(f"{path} cannot be read: {error}. Write the version again with: mmrec export RUN") from error
    graphs = [meta_graph.graph_def for meta_graph in saved_model.meta_graphs]
    if not graphs:
        raise ServingError(f"{path} holds no graph. Write the version again with: mmrec export RUN")
    asked = needed_libraries(version) if asked is None else asked
    ops, refusals, needs = set(), [], []
    for graph in graphs:
        found, refused = check_graph(graph)
        ops |= found
        for refusal in refused:
            (needs if _library_of(refusal.op) in asked else refusals).append(refusal)
    return ModelCheck(Path(version), tuple(sorted(ops)), tuple(refusals), tuple(needs))


def needed_libraries(version: str | Path) -> tuple[str, ...]:
    """The libraries beside stock TensorFlow Serving that a version says it was asked to need; see `NEEDED_OPS_FILE`."""
    try:
        said = json.loads((Path(version) / NEEDED_OPS_FILE).read_text(encoding="utf-8"))["libraries"]
    # Whatever it says that cannot be understood allows nothing.
    except (OSError, ValueError, TypeError, KeyError):
        return ()
    return tuple(name for name in ASKED_LIBRARIES if isinstance(said, list) and name in said)


def write_needed_libraries(check: ModelCheck) -> None:
    """Writes `NEEDED_OPS_FILE` of a version that has what it was asked to have; nothing for others."""
    if check.needs:
        path = check.path / NEEDED_OPS_FILE
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"libraries": check.libraries}), encoding="utf-8")


def check_graph(graph_def) -> tuple[set[str], list[Refusal]]:
    """The ops of a `GraphDef`, those of its function library included, and what the server would not run of them."""
    functions = {function.signature.name for function in graph_def.library.function}
    ops, refusals = set(), []
    for function, node in _nodes(graph_def):
        if node.op in functions:
            continue
        ops.add(node.op)
        reason = _why_refused(node)
        if reason:
            refusals.append(Refusal(node.op, node.name, function, reason))
    for function in graph_def.library.function:
        if _is_compiled(function.attr):
            name = function.signature.name
            refusals.append(Refusal(name, name, name, _COMPILED))
    return ops, refusals


def require_servable(check: ModelCheck, name: str) -> None:
    """Raises a `ServingError` that lists what the server would not run of a model; nothing if it runs all of it."""
    if check.refusals:
        listed = "\n".join(f"  {refusal}" for refusal in check.refusals[:10])
        more = len(check.refusals) - 10
        raise ServingError(
            f"TensorFlow Serving would not run the model {name!r}:\n{listed}"
            + (f"\n  and {more} more" if more > 0 else "")
            + "\nReplace the layer, or leave what needs it out of the export."
        )


_COMPILED = "it asks to be compiled by XLA, which the server leaves off; build it without jit_compile"


def _nodes(graph_def) -> Iterator:
    yield from (("", node) for node in graph_def.node)
    for function in graph_def.library.function:
        yield from ((function.signature.name, node) for node in function.node_def)


def _why_refused(node) -> str | None:
    known = served_ops()
    if node.op in _PYTHON:
        return "it calls Python, which the server does not have"
    if node.op.startswith(_XLA_OPS) or _is_compiled(node.attr):
        return _COMPILED
    if node.op not in known["core"] and node.op not in known["text"]:
        library = _library_of(node.op)
        return f"an op of {library}, which the server does not have" if library else "the server has no such op"
    if node.op == "Const" and node.attr["value"].tensor.ByteSize() > MAX_CONSTANT_BYTES:
        size = node.attr["value"].tensor.ByteSize()
        return f"a constant of {size:,} bytes, above {MAX_CONSTANT_BYTES:,}; keep it in a variable or a table"
    return None


def _library_of(op: str) -> str | None:
    return next((title for start, title in _LIBRARIES.items() if op.startswith(start)), None)


def _is_compiled(attributes) -> bool:
    return any(name in attributes and attributes[name].b for name in _XLA_ATTRIBUTES)


def _by_number(path: Path) -> tuple:
    return path.parent, int(path.name) if path.name.isdigit() else -1, path.name
