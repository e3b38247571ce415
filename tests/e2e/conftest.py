"""One small shop taken through everything, once for all end-to-end tests, and its twin without texts and media."""

import pytest
import yaml

SHORT = ["train.epochs=3", "train.batch_size=256", "train.ranking.epochs=1", "models.ranking.members=2"]
CONTENT = ("description", "photo", "jingle")


@pytest.fixture(scope="session")
def small_shop(tmp_path_factory):
    """Configuration of a generated shop of 150 users and 90 items."""
    from mmrec_tf.data.demo_shop import generate_demo_shop

    return generate_demo_shop(tmp_path_factory.mktemp("small") / "shop", seed=3, users=150, items=90, interactions=2500)


@pytest.fixture(scope="session")
def small_config(small_shop):
    """How it is trained: a little, and with two rankers where four are the default."""
    from mmrec_tf.config_file import load_config

    return load_config(small_shop, SHORT)


@pytest.fixture(scope="session")
def small_run(small_config, tmp_path_factory):
    """Its finished run."""
    from mmrec_tf.workflow import train_run

    return train_run(small_config, tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture(scope="session")
def plain_config(small_shop):
    """The shop without its texts, photos and jingles, which a run takes most of its time for."""
    from mmrec_tf.config_file import load_config

    content = yaml.safe_load(small_shop.read_text(encoding="utf-8"))
    content["schema"]["item"] = {name: kind for name, kind in content["schema"]["item"].items() if name not in CONTENT}
    del content["encoders"]
    path = small_shop.with_name("plain.yaml")
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return load_config(path, SHORT)


@pytest.fixture(scope="session")
def plain_run(plain_config, tmp_path_factory):
    """Its finished run."""
    from mmrec_tf.workflow import train_run

    return train_run(plain_config, tmp_path_factory.mktemp("plain_runs") / "plain")
