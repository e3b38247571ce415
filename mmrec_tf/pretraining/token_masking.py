"""Texts with words hidden, made in tf.data: the examples of masked-language modelling."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from mmrec_tf.encoders.base import Encoder
from mmrec_tf.encoders.pretrained.minilm import read_network
from mmrec_tf.errors import EncoderError
from mmrec_tf.pretraining.stage_model import uniform

_MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_TEXTS_AT_A_TIME = 256
# Of the hidden word pieces this share becomes the mask, and this share more another word piece.
_MASKED, _CHANGED = 0.8, 0.1


def token_ids(encoder: Encoder, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Texts as the encoder's word pieces.

    Returns:
        `[n, longest]` int32 ids, filled up with 0, and `[n]` int32 numbers of word pieces.

    Raises:
        EncoderError: if the encoder does not make ids of texts.
    """
    ids, lengths = [], []
    for start in range(0, len(texts), _TEXTS_AT_A_TIME):
        prepared = encoder.prepare(tf.constant(texts[start : start + _TEXTS_AT_A_TIME]))
        if not isinstance(prepared, dict) or "ids" not in prepared or not {"lengths", "mask"} & set(prepared):
            raise EncoderError(
                f"masked_language needs an encoder of the BERT type, that makes word pieces of texts; "
                f"{type(encoder).__name__} does not. Set the feature's encoder to minilm, or take the stage out of "
                "pretraining."
            )
        ids.append(prepared["ids"].numpy())
        given = prepared.get("lengths")
        lengths.append(tf.reduce_sum(tf.cast(prepared["mask"], tf.int32), axis=1) if given is None else given)
    longest = max(part.shape[1] for part in ids)
    padded = [np.pad(part, [(0, 0), (0, longest - part.shape[1])]) for part in ids]
    return np.concatenate(padded).astype(np.int32), np.concatenate(lengths).astype(np.int32)


def vocabulary_of(encoder: Encoder) -> list[str]:
    """The word pieces of an encoder by id: its `vocabulary`, or the file beside its built module.

    Raises:
        EncoderError: if there is none, or it has no `[MASK]`.
    """
    vocabulary = getattr(encoder, "vocabulary", None)
    if vocabulary is None:
        try:
            vocabulary = read_network(Path(getattr(encoder, "handle", "")))[1]
        except (OSError, ValueError) as error:
            raise EncoderError(f"the word pieces of {type(encoder).__name__} cannot be read: {error}.") from error
    if "[MASK]" not in vocabulary:
        raise EncoderError(
            f"the {len(vocabulary)} word pieces of {type(encoder).__name__} hold no [MASK], so nothing can be hidden."
        )
    return vocabulary


class HiddenWords:
    """Hides word pieces of texts.

    Of each text's word pieces, marks aside, the share is chosen, at least one. Of these 80 % are replaced by `[MASK]`,
    10 % by another word piece, and 10 % stay, so that the network cannot rely on seeing what is asked for, nor on what
    it sees being right.

    Args:
        ids: `[n, length]` int32. All texts, to know the largest number that is hidden in one.
        lengths: `[n]` int32.
        vocabulary: the word pieces by id.
        share: float. Of the word pieces that are hidden.

    Reference: Devlin et al., BERT (2019).
    """

    def __init__(self, ids: np.ndarray, lengths: np.ndarray, vocabulary: list[str], share: float):
        self.mask_id = vocabulary.index("[MASK]")
        is_mark = np.array([word in _MARKS or word.startswith("[unused") for word in vocabulary])
        self.words = np.flatnonzero(~is_mark).astype(np.int32)
        self.share = share
        self.is_mark = is_mark
        within = np.arange(ids.shape[1])[None, :] < lengths[:, None]
        self.wanted = self._number(np.sum(within & ~is_mark[ids], axis=1))
        self.most = int(self.wanted.max(initial=1))

    def __call__(self, batch: dict) -> dict:
        """`ids`, `lengths`, `seed` -> what the stage takes.

        Returns:
            dict with `ids` `[batch, length]`, words hidden, `mask` `[batch, length]` float32, `positions` and `labels`
            `[batch, most]` int32, and `weights` `[batch, most]` float32, 0 where a text has fewer.
        """
        ids, seed = batch["ids"], batch["seed"]
        mask = tf.sequence_mask(batch["lengths"], ids.shape[1])
        can_hide = tf.logical_and(mask, tf.logical_not(tf.gather(tf.constant(self.is_mark), ids)))
        scores = tf.where(can_hide, uniform(seed, 0, tf.shape(ids)), -1.0)
        chosen, positions = tf.math.top_k(scores, self.most)
        is_asked = tf.logical_and(tf.range(self.most)[None, :] < batch["wanted"][:, None], chosen >= 0.0)
        labels = tf.gather(ids, positions, batch_dims=1)
        fate = uniform(seed, 1, tf.shape(labels))
        places = tf.cast(uniform(seed, 2, tf.shape(labels)) * len(self.words), tf.int32)
        others = tf.gather(tf.constant(self.words), tf.minimum(places, len(self.words) - 1))
        shown = tf.where(fate < _MASKED, self.mask_id, tf.where(fate < _MASKED + _CHANGED, others, labels))
        shown = tf.where(is_asked, shown, labels)
        rows = tf.broadcast_to(tf.range(tf.shape(ids)[0])[:, None], tf.shape(positions))
        return {
            "ids": tf.tensor_scatter_nd_update(ids, tf.stack([rows, positions], axis=2), shown),
            "mask": tf.cast(mask, tf.float32),
            "positions": positions,
            "labels": labels,
            "weights": tf.cast(is_asked, tf.float32),
        }

    def _number(self, words):
        return np.where(words > 0, np.maximum(np.round(self.share * words), 1), 0).astype(np.int32)
