"""One small shop taken through everything, once for all end-to-end tests."""

import pytest


@pytest.fixture(scope="session")
def small_shop(tmp_path_factory):
    """Configuration of a generated shop of 150 users and 90 items."""
    from mmrec_tf.data.demo_shop import generate_demo_shop

    return generate_demo_shop(tmp_path_factory.mktemp("small") / "shop", seed=3, users=150, items=90, interactions=2500)


@pytest.fixture(scope="session")
def small_config(small_shop):
    """How it is trained: a little, and with two rankers where four are the default."""
    from mmrec_tf.config_file import load_config

    short = ["train.epochs=3", "train.batch_size=256", "train.ranking.epochs=1", "models.ranking.members=2"]
    return load_config(small_shop, short)


@pytest.fixture(scope="session")
def small_run(small_config, tmp_path_factory):
    """Its finished run."""
    from mmrec_tf.workflow import train_run

    return train_run(small_config, tmp_path_factory.mktemp("runs") / "small")
