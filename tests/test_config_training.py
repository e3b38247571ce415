"""What training goes by where the configuration does not say."""

import pytest

from mmrec_tf.config_training import TrainConfig


@pytest.mark.parametrize(
    ("examples", "batch_size"),
    [
        (10**7, 1024),
        (32_768, 1024),  # 32 steps
        (32_767, 512),
        (8_192, 256),
        (8_191, 128),
        (100, 64),
    ],
)
def test_small_data_have_more_steps_of_fewer_examples(examples, batch_size):
    assert TrainConfig().examples_a_step(examples) == batch_size


def test_a_given_batch_size_is_kept():
    assert TrainConfig(batch_size=4096).examples_a_step(100) == 4096
