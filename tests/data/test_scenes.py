import numpy as np
import pytest

from mmrec_tf.data.scenes import colour_changes, middles, scenes_by_colour, scenes_by_scores


def test_colour_changes_by_hand():
    frames = np.zeros((4, 27, 48, 3), np.uint8)
    # Channels from 0 to 255: every pixel changes its bin, in one of three channels, then in the two others too.
    frames[1:, :, :, 0] = 255
    frames[2:, :, :, 1:] = 255
    # Half of the pixels of one channel back to 0: half of the change, in one of three channels.
    frames[3, :, :24, 0] = 0
    np.testing.assert_allclose(colour_changes(frames), [0, 1 / 3, 2 / 3, 1 / 6], atol=1e-6)


def test_a_slight_change_of_light_is_a_slight_change_of_colours():
    frames = np.zeros((2, 27, 48, 3), np.uint8)
    frames[0], frames[1] = 127, 130
    # Bins are 255 / 7 = 36.4 levels apart, and a value moves between the two nearest: 3 / 36.4.
    np.testing.assert_allclose(colour_changes(frames), [0, 3 / (255 / 7)], atol=1e-6)


def test_scenes_begin_where_colours_jump():
    frames = np.zeros((1300, 27, 48, 3), np.uint8)
    frames[200:] = 90
    frames[500:] = 200
    assert scenes_by_colour(frames).tolist() == [[0, 200], [200, 500], [500, 1300]]
    assert scenes_by_colour(frames[:1]).tolist() == [[0, 1]]
    assert len(scenes_by_colour(frames[:0])) == 0
    # A flicker that goes on is no row of scenes.
    frames[::2] = 255
    assert len(scenes_by_colour(frames)) < 5


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0, 0, 0], [[0, 3]]),
        ([0, 0.9, 0, 0], [[0, 2], [2, 4]]),
        ([0, 0, 0.6, 0.7, 0.9, 0, 0, 0.5], [[0, 3], [5, 8]]),
        ([0.9, 0, 0], [[1, 3]]),
        ([0.9, 0.8], [[0, 2]]),
        ([], []),
    ],
)
def test_shots_by_scores(scores, expected):
    assert scenes_by_scores(np.array(scores)).tolist() == expected


def test_middles_of_the_longest():
    spans = np.array([[0, 10], [10, 13], [13, 33]])
    assert middles(spans, 1).tolist() == [23]
    assert middles(spans, 2).tolist() == [5, 23]
    assert middles(spans, 3).tolist() == [5, 11, 23]
    # A fourth goes to the longest: 20 frames in halves, at a quarter and three quarters.
    assert middles(spans, 4).tolist() == [5, 11, 18, 28]
    # No more than there are frames.
    assert middles(spans, 100).tolist() == list(range(33))
    assert middles(np.zeros((0, 2), np.int64), 4).tolist() == []
