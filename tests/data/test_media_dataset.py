"""The dataset of decoded content: order, what is left out, shapes, changes by seed, errors."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mmrec_tf.data.images import decode_image
from mmrec_tf.data.media_dataset import media_dataset
from mmrec_tf.errors import DataError


def up_to(number):
    """Source n gives the array 1, ..., n; 3 cannot be decoded."""
    return None if number == 3 else np.arange(1, number + 1, dtype=np.float32)


def batches(dataset):
    return [(places.numpy().tolist(), content.numpy()) for places, content in dataset]


def test_contents_are_filled_up_and_the_rest_left_out():
    dataset = media_dataset(up_to, [1, 2, None, 3, 4], (4,), tf.float32, batch_size=2)
    assert dataset.element_spec[0].dtype == tf.int32
    assert dataset.element_spec[1].shape.as_list() == [None, 4]
    (first, contents), (second, rest) = batches(dataset)
    assert (first, second) == ([0, 1], [4])
    np.testing.assert_array_equal(contents, [[1, 0, 0, 0], [1, 2, 0, 0]])
    np.testing.assert_array_equal(rest, [[1, 2, 3, 4]])


def test_texts_and_bytes():
    dataset = media_dataset(lambda text: text or None, ["a", "", "é"], (), tf.string, batch_size=3)
    ((places, texts),) = batches(dataset)
    assert places == [0, 2] and texts.tolist() == ["a".encode(), "é".encode()]


def test_photos_of_one_shape_are_static_with_full_batches(tmp_path):
    paths = []
    for level in range(5):
        paths.append(tmp_path / f"{level}.png")
        Image.new("L", (20, 10), 50 * level).save(paths[-1])
    paths[2].write_bytes(b"broken")
    dataset = media_dataset(
        lambda path: decode_image(path, 8), paths, (8, 8, 3), tf.uint8, 2, drop_remainder=True, repeat=None
    )
    assert dataset.element_spec[1].shape.as_list() == [2, 8, 8, 3]
    found = batches(dataset.take(4))
    assert [place for places, _ in found for place in places] == [0, 1, 3, 4, 0, 1, 3, 4]
    assert found[1][1][:, 0, 0, 0].tolist() == [150, 200]


def test_the_order_is_new_every_epoch_and_the_same_in_every_run():
    def order(seed, epochs=3):
        dataset = media_dataset(
            lambda n: np.float32([n]), range(50), (1,), tf.float32, 10, seed=seed, shuffle=True, repeat=epochs
        )
        return np.concatenate([places for places, _ in dataset]).reshape(epochs, 50)

    first = order(seed=7)
    np.testing.assert_array_equal(first, order(seed=7))
    assert (order(seed=8) != first).any()
    for epoch in first:
        assert sorted(epoch) == list(range(50))
    assert (first[0] != first[1]).any() and (first[1] != first[2]).any()
    # Gone through twice, the order is another one too.
    dataset = media_dataset(lambda n: np.float32([n]), range(50), (1,), tf.float32, 50, seed=7, shuffle=True)
    one, two = (next(iter(dataset))[0].numpy() for _ in range(2))
    assert (one != two).any()


def test_changes_differ_by_batch_and_repeat_with_the_seed():
    seeds = []

    def change(content, seed):
        assert seed.shape == (2,)
        return content + tf.random.stateless_uniform(tf.shape(content), seed)

    def contents(seed):
        dataset = media_dataset(
            lambda n: np.zeros(3, np.float32), range(6), (3,), tf.float32, 2, seed=seed, augment=change, repeat=2
        )
        assert dataset.element_spec[1].shape.as_list() == [None, 3]
        seeds.append(dataset)
        return np.stack([content for _, content in dataset])

    first = contents(1)
    assert first.shape == (6, 2, 3)
    assert len(np.unique(first.reshape(6, -1), axis=0)) == 6
    np.testing.assert_array_equal(first, contents(1))
    assert (contents(2) != first).all()
    # The second time that one dataset is gone through, the changes are others.
    again = np.stack([content for _, content in seeds[0]])
    assert (again != first).all()


def test_a_seed_is_needed_for_what_is_random():
    for options in ({"shuffle": True}, {"augment": lambda content, seed: content}):
        with pytest.raises(ValueError, match="need a seed"):
            media_dataset(up_to, [1], (4,), tf.float32, 1, **options)


def test_nothing_to_train_on_is_an_error_and_no_endless_search():
    with pytest.raises(DataError, match="every source is None"):
        media_dataset(up_to, [None, None], (4,), tf.float32, 1)
    dataset = media_dataset(lambda source: None, [1, 2], (4,), tf.float32, 1, repeat=None)
    with pytest.raises(tf.errors.OpError, match="none of the 2 files"):
        next(iter(dataset))
