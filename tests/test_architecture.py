"""The rules that hold the package together, checked on its source: who may import whom, and what nobody imports."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "mmrec_tf"

# A file or folder imports only from what stands above it, and from its own folder.
ORDER = (
    "_keras",
    "_onednn",
    "schedule",
    "fused_adam",
    "errors",
    "folders",
    "schema",
    "config_named",
    "config_encoders",
    "config_targets",
    "config_ranking",
    "config_models",
    "config_pretraining",
    "config_tasks",
    "config_training",
    "config_tuning",
    "config",
    "config_file",
    "data",
    "encoders",
    "features",
    "fusion",
    "losses",
    "models",
    "pretraining",
    "training",
    "evaluation",
    "recommend",
    "serving",
    "run",
    "exploration",
    "run_export",
    "ranker_cost",
    "stages",
    "compression_trial",
    "run_compress",
    "small_rankers",
    "search",
    "workflow",
    "run_distill",
    "cli_output",
    "cli_demo",
    "cli_pretrained",
    "cli_embed",
    "cli_pretrain",
    "cli_tune",
    "cli_explain",
    "cli_compress",
    "cli_distill",
    "cli_importance",
    "cli_export",
    "cli_recommend",
    "cli_serve",
    "cli",
)
# The one place where KerasNLP, a Keras 3 library, is reached.
KERAS_3_ADAPTER = "encoders/kerasnlp.py"
# KerasTuner imports Keras 3 too. Its oracles are plain Python; its tuners and hypermodels would want Keras 3 models.
KERAS_TUNER_ADAPTER = "search/oracles.py"
PICKLING = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}

FILES = sorted(PACKAGE.rglob("*.py"))


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def part_of(path: Path) -> str:
    """`mmrec_tf/data/tables.py` belongs to `data`, `mmrec_tf/config.py` to `config`."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def package_of(path: Path) -> str:
    return ".".join(path.relative_to(REPOSITORY).parent.parts)


def imported_modules(tree: ast.Module, package: str) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything a file of `package` imports, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: -(node.level - 1) or None] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from mmrec_tf import data` imports a part, so the names count as well as the module.
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def dotted_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of every `a.b.c` in a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and re.fullmatch(r"\w+(\.\w+)+", name := ast.unparse(node)):
            yield node.lineno, name


def imports_from_below(tree: ast.Module, package: str, part: str) -> list[str]:
    """What a file of `part` takes from parts of mmrec_tf that stand below it, as `line name`."""
    allowed = {"mmrec_tf", "mmrec_tf.__version__", f"mmrec_tf.{part}"}
    allowed |= {f"mmrec_tf.{above}" for above in ORDER[: ORDER.index(part)]}
    names = [*imported_modules(tree, package), *dotted_names(tree)]
    own = [(line, name) for line, name in names if name.split(".")[0] == "mmrec_tf"]
    return [f"{line} {name}" for line, name in own if ".".join(name.split(".")[:2]) not in allowed]


def test_every_part_has_a_place_in_the_order():
    assert {part_of(path) for path in FILES} - {"__init__", "__main__"} <= set(ORDER)


def test_folders_import_only_from_above():
    wrong = []
    for path in FILES:
        if part_of(path) in ORDER:
            found = imports_from_below(parse(path), package_of(path), part_of(path))
            wrong += [f"{name_of(path)}:{what}" for what in found]
    assert wrong == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from mmrec_tf.serving import export", ["1 mmrec_tf.serving.export"]),
        ("def f():\n    import mmrec_tf.cli", ["2 mmrec_tf.cli"]),
        ("from ..models.towers import Tower", ["1 mmrec_tf.models.towers.Tower"]),
        ("from mmrec_tf import run", ["1 mmrec_tf.run"]),
        ("import mmrec_tf\nmmrec_tf.TwoTower", ["2 mmrec_tf.TwoTower"]),
        ("from . import tables", []),
        ("from mmrec_tf.schema import Schema", []),
        ("from mmrec_tf import __version__", []),
    ],
)
def test_imports_are_judged_however_they_are_written(source, expected):
    assert imports_from_below(ast.parse(source), package="mmrec_tf.data", part="data") == expected


def test_keras_is_reached_through_tf_keras_only():
    wrong = []
    for path in FILES:
        if name_of(path) in ("_keras.py", KERAS_3_ADAPTER):
            continue
        tree = parse(path)
        for line, name in [*imported_modules(tree, package_of(path)), *dotted_names(tree)]:
            if name.split(".")[0] in ("keras", "keras_nlp", "keras_hub") or re.match(r"(tf|tensorflow)\.keras\b", name):
                wrong.append(f"{name_of(path)}:{line} {name}")
    assert wrong == []


def test_keras_tuner_is_reached_in_one_place():
    users = {
        name_of(path)
        for path in FILES
        for _, name in imported_modules(parse(path), package_of(path))
        if name.split(".")[0] in ("keras_tuner", "kerastuner")
    }
    assert users == {KERAS_TUNER_ADAPTER}


def test_nothing_is_pickled():
    wrong = []
    for path in FILES:
        tree = parse(path)
        wrong += [
            f"{name_of(path)}:{line} imports {module}"
            for line, module in imported_modules(tree, package_of(path))
            if module.split(".")[0] in PICKLING
        ]
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
                wrong.append(f"{name_of(path)}:{node.lineno} allow_pickle={ast.unparse(node.value)}")
            if isinstance(node, ast.Attribute) and node.attr in ("read_pickle", "to_pickle"):
                wrong.append(f"{name_of(path)}:{node.lineno} {node.attr}")
    assert wrong == []


def test_ruff_finds_nothing():
    command = [sys.executable, "-m", "ruff", "check", "--quiet", "--no-cache", "--output-format=concise"]
    folders = [folder for folder in ("mmrec_tf", "tests", "tools", "examples") if (REPOSITORY / folder).is_dir()]
    process = subprocess.run(
        [*command, "--config", "tools/ruff.toml", *folders], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stdout + process.stderr
