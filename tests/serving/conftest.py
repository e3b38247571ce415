"""One small export, served over REST and gRPC for all tests of the folder that ask for it."""

import shutil

import pytest

from tests import asked_models


@pytest.fixture(scope="session")
def small_export(tmp_path_factory):
    return asked_models.export_models(tmp_path_factory.mktemp("small") / "export")


@pytest.fixture(scope="session")
def small_store(small_export):
    from mmrec_tf.serving.model_store import ModelStore

    store = ModelStore(small_export)
    yield store
    store.close()


@pytest.fixture(scope="session")
def small_grpc(small_store):
    """Address of a gRPC server."""
    from mmrec_tf.serving.grpc_server import GrpcServer

    with GrpcServer(small_store, "127.0.0.1:0") as server:
        yield f"127.0.0.1:{server.port}"


@pytest.fixture(scope="session")
def small_rest(small_export):
    """URL of a REST server."""
    from mmrec_tf.serving.server import running_server

    with running_server(small_export) as url:
        yield url


@pytest.fixture(scope="session")
def saved_halves(tmp_path_factory):
    from tests.served_models import save_halves

    folder = tmp_path_factory.mktemp("halves") / "saved"
    save_halves(folder)
    return folder


@pytest.fixture
def export_dir(saved_halves, tmp_path):
    """Three versions of one model."""
    for version in ("1", "2", "10"):
        shutil.copytree(saved_halves, tmp_path / "export" / "halves" / version)
    return tmp_path / "export"
