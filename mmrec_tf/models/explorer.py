"""What is added to the scores of a ranker, so that items are shown of which it knows little."""

import tensorflow as tf
import tf_keras

from mmrec_tf.models.bandit_head import BanditHead, pair_features


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class Explorer(tf_keras.layers.Layer):
    """Adds to each score how uncertain it is, or a draw from that.

    The ranker says what is likely; a `BanditHead` on retrieval's embeddings says how much has been seen of pairs like
    this one. By Laplace's approximation of a logistic regression a pair whose chance is p tells p (1 - p) of one whose
    reward has a noise of 1, and so, with x = [sqrt(dim) q * c, c] of the embeddings q and c,

        A = precision I + sum p (1 - p) x x^T
        ucb:       strength sqrt(x^T A^-1 x)
        thompson:  x . draw,   draw ~ N(0, strength^2 A^-1)

    in the units of the ranker's scores. Of users of whom nothing is known, whose q is 0, the items alone tell. Of
    ratings each counts by one over their squared error. Its state is weights.

    Args:
        dim: int. Width of the embeddings.
        method: `ucb` or `thompson`.
        strength: float of 0 or more. 0 adds nothing. Defaults to 1.
        precision: float above 0. By how much is known before anything is seen; see `BanditHead`. Defaults to 1.
        seed: int. Of the draws. Defaults to 0.

    Call arguments:
        queries: `[users, dim]` float.
        candidates: `[users, items, dim]` float, the items of each user.

    Returns:
        `[users, items]` float32. Of `thompson` one draw for each user, and others in the next call.

    Raises:
        ValueError: for an unknown method, or an argument out of its range.

    References: Li et al., A contextual-bandit approach to personalized news article recommendation (WWW 2010); Chapelle
    and Li, An empirical evaluation of Thompson sampling (NeurIPS 2011).
    """

    def __init__(self, dim: int, method: str, strength: float = 1.0, precision: float = 1.0, seed: int = 0, **kwargs):
        super().__init__(**{"dtype": "float32", "trainable": False, **kwargs}, autocast=False)
        if method not in ("ucb", "thompson"):
            raise ValueError(f"method {method!r} is none. Allowed: ucb, thompson.")
        self.dim = dim
        self.method = method
        self.strength = strength
        self.precision = precision
        self.seed = seed
        self.head = BanditHead(2 * dim, precision=precision, exploration=strength, seed=seed)

    def call(self, queries, candidates):
        return self.head.scores(self._features(queries, candidates), self.method)

    def learn(self, queries: tf.Tensor, candidates: tf.Tensor, weights: tf.Tensor) -> None:
        """Takes note of pairs that were seen.

        Args:
            queries, candidates: `[n, dim]` float.
            weights: `[n]` float, what each tells: p (1 - p) of a click, one over the squared error of a rating.
        """
        features = self._features(queries, candidates[:, None])[:, 0]
        # What is likely is the ranker's to say, so that the mean stays 0.
        self.head.update(features, tf.zeros([tf.shape(features)[0]]), weights)

    def get_config(self):
        own = {"dim": self.dim, "method": self.method, "strength": self.strength}
        return {**super().get_config(), **own, "precision": self.precision, "seed": self.seed}

    def _features(self, queries, candidates):
        queries, candidates = tf.cast(queries, tf.float32), tf.cast(candidates, tf.float32)
        # Of two directions drawn at random the products then have about length 1, as the candidates themselves.
        return tf.concat([self.dim**0.5 * pair_features(queries, candidates), candidates], axis=2)
