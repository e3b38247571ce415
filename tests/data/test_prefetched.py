import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.data.media_dataset import media_dataset
from mmrec_tf.data.pipelines import gathered_batches
from mmrec_tf.data.prefetched import prefetched
from mmrec_tf.models.negative_batches import negative_batches
from mmrec_tf.pretraining.batches import Batches


def test_elements_and_their_number_stay():
    dataset = prefetched(tf.data.Dataset.range(5).batch(2))
    assert [batch.tolist() for batch in dataset.as_numpy_iterator()] == [[0, 1], [2, 3], [4]]
    assert int(dataset.cardinality()) == 3


def test_what_stands_before_it_is_not_tuned_and_further_steps_keep_that():
    assert tf.data.Dataset.range(3).options().autotune.enabled is None
    assert prefetched(tf.data.Dataset.range(3)).map(lambda value: value + 1).options().autotune.enabled is False


@pytest.mark.parametrize("make", ["arrays", "pretraining", "negatives", "media"])
def test_every_pipeline_ends_with_it(make):
    rows = np.arange(8, dtype=np.int32)
    dataset = {
        "arrays": lambda: gathered_batches({"row": rows}, 4, seed=1),
        "pretraining": lambda: Batches({"row": rows}, 4, seed=1).epochs(0, 2),
        "negatives": lambda: negative_batches(rows, rows, 8, batch_size=4, negatives=2, seed=1),
        "media": lambda: media_dataset(lambda text: text, ["a", "b"], (), tf.string, 2),
    }[make]()
    assert dataset.options().autotune.enabled is False
