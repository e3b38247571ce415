"""Tiny built modules, written once for all tests of tuning."""

import pytest

from tests.encoders.pretrained.conftest import build_real  # noqa: F401
from tests.tiny_encoders import make_image_module, make_text_module


@pytest.fixture(scope="session")
def text_module(tmp_path_factory):
    return make_text_module(tmp_path_factory.mktemp("modules") / "text")


@pytest.fixture(scope="session")
def image_module(tmp_path_factory):
    return make_image_module(tmp_path_factory.mktemp("modules") / "image")
