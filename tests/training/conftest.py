"""A world of tales and what its tests share, made once."""

import pytest

from mmrec_tf.features.item_vectors import build_encoders
from mmrec_tf.features.prepared import prepare
from tests import tale_world
from tests.tiny_encoders import make_text_network


@pytest.fixture(scope="session")
def text_network(tmp_path_factory):
    return make_text_network(tmp_path_factory.mktemp("networks") / "text")


@pytest.fixture(scope="session")
def tales(text_network, tmp_path_factory):
    """The tales as their encoder embeds them untuned."""
    config = tale_world.config(text_network, tmp_path_factory.mktemp("tales"), tuning="full")
    return prepare(tale_world.rec_data(), config, encoders=build_encoders(config))
