"""What training goes by where the configuration does not say."""

import pytest

from mmrec_tf.config_training import TrainConfig


@pytest.mark.parametrize(
    ("examples", "pairs", "batch_size", "ranking_batch_size"),
    [
        (32_768, 65_536, 1024, 2048),  # 32 steps of the usual size each
        (32_767, 65_535, 512, 1024),
        (10**7, 10**7, 1024, 2048),
        (8_192, 8_191, 256, 128),
        (100, 100, 64, 64),
    ],
)
def test_small_data_have_more_steps_of_fewer_examples(examples, pairs, batch_size, ranking_batch_size):
    train = TrainConfig().with_batch_sizes(examples, pairs)
    assert (train.batch_size, train.ranking.batch_size) == (batch_size, ranking_batch_size)


def test_a_given_batch_size_is_kept():
    train = TrainConfig(batch_size=4096, ranking={"batch_size": 8, "epochs": 3}).with_batch_sizes(100, 10**6)
    assert (train.batch_size, train.ranking.batch_size, train.ranking.epochs) == (4096, 8, 3)
