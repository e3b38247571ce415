"""What is said where ScaNN is not installed, or does not fit; its ops where it does."""

import configparser
import sys
from importlib import metadata
from pathlib import Path

import pytest
import tensorflow as tf

from mmrec_tf.errors import ServingError
from mmrec_tf.recommend import scann_library
from mmrec_tf.recommend.scann_library import SCANN_VERSIONS, scann_ops
from tests.scann_here import needs_scann


def with_version(monkeypatch, version):
    def found(name):
        assert name == "scann"
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(scann_library.metadata, "version", found)


def test_where_it_is_not_installed(monkeypatch):
    monkeypatch.setattr(tf, "__version__", "2.16.2")
    with_version(monkeypatch, None)
    with pytest.raises(ServingError, match=r"not installed.*pip install 'mmrec-tf\[scann\]'.*export.index: ivf"):
        scann_ops()


@pytest.mark.parametrize("version", ["2.17.0", "2.21.0", "2.160.1"])
def test_another_tensorflow_is_told_before_anything_is_imported(monkeypatch, version):
    monkeypatch.setattr(tf, "__version__", version)
    with_version(monkeypatch, "1.3.2")
    monkeypatch.setitem(sys.modules, "scann.scann_ops.py", None)
    with pytest.raises(ServingError, match=f"scann 1.3.1 or 1.3.2 for 2.16, and TensorFlow {version} is installed"):
        scann_ops()


@pytest.mark.parametrize("version", ["1.3.0", "1.3.3", "1.4.2"])
def test_another_version_is_told_before_it_is_imported(monkeypatch, version):
    monkeypatch.setattr(tf, "__version__", "2.16.2")
    with_version(monkeypatch, version)
    monkeypatch.setitem(sys.modules, "scann.scann_ops.py", None)
    with pytest.raises(ServingError, match=f"scann {version} is installed, .* scann 1.3.1 or 1.3.2 only"):
        scann_ops()


def test_one_that_does_not_load_is_told(monkeypatch):
    monkeypatch.setattr(tf, "__version__", "2.16.2")
    with_version(monkeypatch, "1.3.2")
    # What Python raises for a module that is None is an ImportError.
    monkeypatch.setitem(sys.modules, "scann.scann_ops.py", None)
    with pytest.raises(ServingError, match="scann 1.3.2 cannot be loaded: .*Install it again"):
        scann_ops()


def test_the_extra_installs_no_version_that_does_not_load():
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).resolve().parents[2] / "setup.cfg")
    (requirement,) = setup["options.extras_require"]["scann"].strip().splitlines()
    package, _, marker = requirement.partition(";")
    name, _, version = package.strip().partition("==")
    assert name == "scann" and version in SCANN_VERSIONS
    # TensorFlow 2.16 has no tensorflow-text for Python 3.12, so that pip would find no way out.
    assert 'python_version < "3.12"' in marker and 'sys_platform == "linux"' in marker
    assert "scann" not in setup["options"]["install_requires"]


@needs_scann
def test_the_ops_are_registered():
    ops = scann_ops()
    assert callable(ops.tensors_to_scann) and callable(ops.scann_search_batched)
    from tensorflow.python.framework import op_def_registry

    assert op_def_registry.get("Scann>TensorsToScann") is not None
