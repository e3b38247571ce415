"""Where a video's scenes begin and end, found in thumbnails of its frames, and the frames that stand for them."""

import numpy as np

THUMBNAIL_HEIGHT, THUMBNAIL_WIDTH = 27, 48
"""The size that networks for shot boundaries take."""

_BINS = 8
_CUT = 0.12
# In eight real clips frames of one scene differed by 0.03 at most, and frames of different clips by 0.13 and more, but
# for two clips of one speaker before one wall.
_TIMES_NEIGHBOURS = 3.0
_NEIGHBOURS = 5
_BLOCK = 500


def colour_changes(thumbnails: np.ndarray) -> np.ndarray:
    """How much the colours of each frame differ from those of the frame before.

    Each channel's histogram has 8 bins; a value counts in the two nearest ones by its distance, so that a slight
    change of light moves little. The difference of two frames is half the sum of the absolute differences, averaged
    over the channels.

    Args:
        thumbnails: `[n, height, width, 3]` uint8.

    Returns:
        `[n]` float64 in [0, 1]; 0 for the first frame.
    """
    count = len(thumbnails)
    if count == 0:
        return np.zeros(0)
    places = thumbnails.reshape(count, -1, 3).astype(np.float32) * ((_BINS - 1) / 255)
    low = np.minimum(places.astype(np.int64), _BINS - 2)
    share = places - low
    # One run of bins for each frame and channel.
    first = (np.arange(count)[:, None, None] * 3 + np.arange(3)) * _BINS + low
    size = count * 3 * _BINS
    histograms = np.bincount(first.ravel(), (1 - share).ravel(), size) + np.bincount(
        first.ravel() + 1, share.ravel(), size
    )
    histograms = histograms.reshape(count, 3, _BINS) / places.shape[1]
    changes = 0.5 * np.abs(np.diff(histograms, axis=0)).sum(axis=2).mean(axis=1)
    return np.concatenate([[0.0], changes])


def scenes_by_colour(thumbnails: np.ndarray) -> np.ndarray:
    """Scenes as `[scenes, 2]` int: first frame, and the one after the last.

    A scene begins where the colours change by more than 0.12 and by more than 3 times the middle change of the 5
    frames on either side, so that fast motion alone does not cut a scene.
    """
    count = len(thumbnails)
    if count == 0:
        return np.zeros((0, 2), np.int64)
    # In blocks, as the histograms' places take twenty times the thumbnails' memory.
    blocks = range(0, count, _BLOCK)
    changes = np.concatenate([colour_changes(thumbnails[max(0, i - 1) : i + _BLOCK])[min(i, 1) :] for i in blocks])
    padded = np.pad(changes, _NEIGHBOURS)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * _NEIGHBOURS + 1)
    usual = np.median(np.delete(around, _NEIGHBOURS, axis=1), axis=1)
    starts = np.flatnonzero((changes > _CUT) & (changes > _TIMES_NEIGHBOURS * usual))
    edges = np.unique([0, *starts, count])
    return np.stack([edges[:-1], edges[1:]], axis=1)


def scenes_by_scores(scores: np.ndarray) -> np.ndarray:
    """Shots as `[shots, 2]` int, from each frame's score in [0, 1] of belonging to a transition.

    A shot lasts until its first frame with a score above 0.5, and the next one begins after the last such frame.
    """
    is_cut = np.asarray(scores) > 0.5
    quiet = np.flatnonzero(~is_cut)
    if len(quiet) == 0:
        return np.array([[0, len(is_cut)]]) if len(is_cut) else np.zeros((0, 2), np.int64)
    breaks = np.flatnonzero(np.diff(quiet) > 1)
    begins = quiet[np.concatenate([[0], breaks + 1])]
    ends = quiet[np.concatenate([breaks, [len(quiet) - 1]])]
    return np.stack([begins, np.minimum(ends + 2, len(is_cut))], axis=1)


def middles(spans: np.ndarray, frames: int) -> np.ndarray:
    """The frames that stand for the longest spans.

    With as many spans as frames, or more, it is the middle frame of each of the longest. With fewer, the longest get
    several, evenly spread, so that one long scene is still seen from its beginning to its end.

    Args:
        spans: `[spans, 2]` int, first frame and the one after the last.
        frames: int. The most frames.

    Returns:
        `[frames or fewer]` int, rising.
    """
    lengths = spans[:, 1] - spans[:, 0]
    longest = np.argsort(-lengths, kind="stable")[:frames]
    spans, lengths = spans[longest], lengths[longest]
    counts = np.ones(len(spans), np.int64)
    for _ in range(min(frames, int(lengths.sum())) - len(spans)):
        counts[np.argmax(np.where(counts < lengths, lengths / counts, 0.0))] += 1
    chosen = [
        begin + (2 * np.arange(count) + 1) * length // (2 * count)
        for (begin, _), length, count in zip(spans, lengths, counts)
    ]
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.int64)
