"""tools/quickstart.sh and tools/test.sh on machines that lack something, played by a PATH of stand-in commands."""

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
BASH = shutil.which("bash")

# Answers as the interpreter of an environment does, and writes down what pip was asked for.
PYTHON = """#!{bash}
case "$1 $2" in
    "-I -c") echo "{answer}" ;;
    "-c import pip") ;;
    "-m venv")
        for folder; do :; done
        mkdir -p "$folder/bin"
        cp "$0" "$folder/bin/python"
        printf '#!{bash}\\necho "mmrec $*"\\n' >"$folder/bin/mmrec"
        chmod +x "$folder/bin/mmrec"
        ;;
    "-m pip") echo "$*" >>"{log}"; exit "${{PIP_EXIT:-0}}" ;;
    "-m pytest") shift; echo "$*" ;;
esac
"""


@dataclass
class Machine:
    """A checkout and a PATH that holds what the scripts need, and the Pythons a test puts there."""

    checkout: Path
    commands: Path

    def add_command(self, name: str, text: str) -> None:
        path = self.commands / name
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def add_python(self, name: str, answer: str) -> None:
        self.add_command(name, PYTHON.format(bash=BASH, answer=answer, log=self.commands / "pip.log"))

    def set_free_disk(self, kilobytes: int) -> None:
        lines = f"Filesystem 1024-blocks Used Available Capacity Mounted\\n/dev/disk 9 9 {kilobytes} 9% /\\n"
        self.add_command("df", f"#!{BASH}\nprintf '%b' '{lines}'\n")

    def run(self, script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [BASH, f"tools/{script}", *arguments],
            cwd=self.checkout,
            env={"PATH": str(self.commands), **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def pip_calls(self) -> list[str]:
        """What pip was asked to install, forgotten once read."""
        log = self.commands / "pip.log"
        calls = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return calls


@pytest.fixture
def machine(tmp_path):
    machine = Machine(tmp_path / "checkout", tmp_path / "commands")
    shutil.copytree(REPOSITORY / "tools", machine.checkout / "tools")
    for name in ("setup.cfg", "setup.py"):
        shutil.copy(REPOSITORY / name, machine.checkout / name)
    machine.commands.mkdir()
    for name in ("bash", "cat", "chmod", "cksum", "cp", "dirname", "mkdir", "rm", "sort", "tr"):
        os.symlink(shutil.which(name), machine.commands / name)
    machine.set_free_disk(50 * 1024 * 1024)
    return machine


def assert_fails(process: subprocess.CompletedProcess, *parts: str) -> None:
    assert process.returncode == 1
    assert process.stderr.startswith("error: ")
    for part in parts:
        assert part in process.stderr


@pytest.mark.parametrize("script", ["quickstart.sh", "test.sh"])
def test_no_python_says_what_was_looked_for_and_how_to_get_one(machine, script):
    assert_fails(
        machine.run(script),
        "no supported Python found",
        "64-bit CPython 3.10 3.11 3.12 3.13",
        "Found: nothing",
        "sudo apt install python3 python3-venv",
        "--python",
    )


def test_unsuitable_pythons_are_named_with_the_reason(machine):
    machine.add_python("python3", "3.9 CPython 64 ensurepip")
    machine.add_python("python3.10", "3.10 CPython 32 ensurepip")
    machine.add_python("python3.13", "3.13 free-threaded 64 ensurepip")
    machine.add_command("python3.12", f"#!{BASH}\necho 'pyenv: python3.12: command not found' >&2; exit 127\n")
    assert_fails(
        machine.run("quickstart.sh"),
        "python3 (Python 3.9)",
        "python3.10 (32-bit Python 3.10)",
        "python3.13 (free-threaded 3.13)",
        "python3.12 (does not run)",
    )


def test_python_without_venv_names_the_debian_package(machine):
    machine.add_python("python3.11", "3.11 CPython 64 none")
    assert_fails(machine.run("test.sh"), "lacks venv", "sudo apt install python3.11-venv")


def test_too_little_disk_stops_before_anything_is_made(machine):
    machine.add_python("python3.11", "3.11 CPython 64 ensurepip")
    machine.set_free_disk(3 * 1024 * 1024)
    assert_fails(machine.run("quickstart.sh"), "3072 MB are free", "needs about 4 GB")
    assert not (machine.checkout / ".venv").exists()


def test_failed_installation_says_so_and_is_repeated(machine):
    machine.add_python("python3.11", "3.11 CPython 64 ensurepip")
    assert_fails(machine.run("quickstart.sh", PIP_EXIT="1"), "pip could not install", "network", "same command again")
    assert len(machine.pip_calls()) == 1
    assert machine.run("quickstart.sh").returncode == 0
    assert len(machine.pip_calls()) == 2


def test_second_run_installs_only_what_changed(machine):
    machine.add_python("python3.11", "3.11 CPython 64 ensurepip")
    assert machine.run("test.sh").returncode == 0
    tools, package = machine.pip_calls()
    constraints = machine.checkout / "tools/constraints/tf216.txt"
    assert tools.endswith("--upgrade pip setuptools") and f"-c {constraints}" in tools
    assert package.endswith(f"--editable {machine.checkout}[test]") and f"-c {constraints}" in package

    assert machine.run("test.sh").returncode == 0
    # The test installation holds all that the plain one does.
    assert machine.run("quickstart.sh").returncode == 0
    assert machine.pip_calls() == []

    with (machine.checkout / "setup.cfg").open("a") as file:
        file.write("# changed\n")
    assert machine.run("quickstart.sh").returncode == 0
    assert len(machine.pip_calls()) == 2
    # The plain installation does not bring what the test extra may have gained.
    assert machine.run("test.sh").returncode == 0
    assert len(machine.pip_calls()) == 2


def test_arguments_reach_the_demo_and_pytest(machine):
    machine.add_python("python3.11", "3.11 CPython 64 ensurepip")
    assert machine.run("quickstart.sh", "--", "--out", "a shop").stdout.endswith("\nmmrec demo --out a shop\n")
    assert machine.run("test.sh", "--quick", "-k", "towers").stdout.endswith(
        "pytest -n auto --dist loadfile -m quick_stack -k towers\n"
    )
    assert machine.run("test.sh", "-k", "towers").stdout.endswith(
        "pytest -n auto --dist loadfile -m not thorough -k towers\n"
    )
    assert machine.run("test.sh", "--all", "-k", "towers").stdout.endswith(
        "pytest -n auto --dist loadfile -m  -k towers\n"
    )


def stack_of(machine: Machine, environment: str) -> str:
    return (machine.checkout / environment / "mmrec-stack").read_text().strip()


def test_reference_stack_is_taken_where_its_python_is_found(machine):
    machine.add_python("python3.12", "3.12 CPython 64 ensurepip")
    machine.add_python("python3", "3.10 CPython 64 ensurepip")
    assert machine.run("quickstart.sh").returncode == 0
    assert stack_of(machine, ".venv") == "tf216"
    assert machine.run("quickstart.sh", "--stack", "tf221").returncode == 0
    assert stack_of(machine, ".venv-tf221") == "tf221"


def test_second_stack_stays_out_of_the_first_ones_way_when_it_comes_first(machine):
    machine.add_python("python3.11", "3.11 CPython 64 ensurepip")
    assert machine.run("test.sh", "--stack", "tf221").returncode == 0
    assert machine.run("test.sh", "--stack", "tf216").returncode == 0
    assert (stack_of(machine, ".venv-tf221"), stack_of(machine, ".venv")) == ("tf221", "tf216")


def test_newest_stack_is_taken_where_only_a_newer_python_is_found(machine):
    machine.add_python("python3", "3.13 CPython 64 ensurepip")
    assert machine.run("quickstart.sh").returncode == 0
    assert stack_of(machine, ".venv") == "tf221"
    assert_fails(machine.run("quickstart.sh", "--stack", "tf216"), "stack tf216 needs 64-bit CPython 3.10 3.11")


def test_environment_of_another_python_is_not_overwritten(machine):
    machine.add_python("python3.10", "3.10 CPython 64 ensurepip")
    machine.add_python("python3.11", "3.11 CPython 64 ensurepip")
    assert machine.run("quickstart.sh").returncode == 0
    asked = str(machine.commands / "python3.10")
    assert_fails(machine.run("quickstart.sh", "--python", asked), "holds Python 3.11, not 3.10", "rm -rf")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stack", "tf217"], "there is no stack 'tf217'"),
        (["--stack"], "--stack needs a value"),
        (["--fast"], "unknown argument '--fast'"),
        (["--python", "/nowhere/python"], "/nowhere/python is not a Python that runs"),
        (["--stack", "tf216", "--python", "python3.12"], "is Python 3.12, which the stack tf216 does not support"),
    ],
)
def test_wrong_arguments_are_explained(machine, arguments, message):
    machine.add_python("python3.12", "3.12 CPython 64 ensurepip")
    assert_fails(machine.run("quickstart.sh", *arguments), message)


def test_real_python_is_recognised():
    command = 'source tools/lib/setup_env.sh; probe "$0"; echo "$VERSION $KIND $BITS"'
    process = subprocess.run([BASH, "-c", command, sys.executable], cwd=REPOSITORY, capture_output=True, text=True)
    version = ".".join(platform.python_version_tuple()[:2])
    assert process.stdout == f"{version} CPython 64\n"
