"""A linear bandit on features that a model has learned: it shows what it is not sure of, and so finds out."""

import tensorflow as tf
import tf_keras


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class BanditHead(tf_keras.layers.Layer):
    """Learns rewards as they come in, and weighs what is likely to pay against what is not known yet.

    A ranker trained on its own lists never learns what it does not show. This head is a Bayesian linear regression of
    the reward on features x of a user and an item, whose posterior is worked out in closed form, example by example or
    batch by batch, in whatever order:

        A = precision I + sum x x^T,   theta = m 1 + A^-1 sum x (r - m 1 . x)

    Items are ordered by the upper end of what the reward may be (LinUCB), or by one draw of theta (Thompson sampling),
    which also orders differently what is shown to many at the same moment:

        ucb:       x . theta + exploration sqrt(x^T A^-1 x)
        thompson:  x . draw,   draw ~ N(theta, exploration^2 A^-1)

    With `pair_features` of the embeddings of a retrieval model and a prior mean of 1, what it starts from is that
    model's own score. Its state is weights: it is saved, exported and served with its model.

    Args:
        dim: int. Width of the features.
        precision: float above 0. How sure the prior is; by how many examples, for features of length 1. Defaults to 1.
        prior_mean: float m, of every coefficient. Defaults to 0.
        exploration: float of 0 or more. How much not knowing counts; for a reward with noise of a standard deviation s,
            about s. Defaults to 1.
        seed: int. Of the draws. Defaults to 0.

    Call arguments:
        features: `[rows, ..., dim]` float.
        explore: `ucb`, `thompson`, or None, the default, for the mean alone.

    Returns:
        `[rows, ...]` float32 scores. `thompson` takes one draw for each row, so that `[users, items,
        dim]` is one draw a user; and the next call takes others.

    Raises:
        ValueError: for an unknown `explore`, features of another width, or an argument out of its range.

    References: Li et al., A contextual-bandit approach to personalized news article recommendation (WWW 2010); Agrawal
    and Goyal, Thompson sampling for contextual bandits with linear payoffs (ICML 2013).
    """

    def __init__(
        self,
        dim: int,
        precision: float = 1.0,
        prior_mean: float = 0.0,
        exploration: float = 1.0,
        seed: int = 0,
        **kwargs,
    ):
        # A posterior of many examples needs all the digits, under a mixed policy too.
        super().__init__(**{"dtype": "float32", "trainable": False, **kwargs}, autocast=False)
        if dim < 1:
            raise ValueError(f"dim must be 1 or more, got {dim}.")
        if not precision > 0.0:
            raise ValueError(f"precision must be above 0, got {precision}: without a prior there is no posterior yet.")
        if not exploration >= 0.0:
            raise ValueError(f"exploration must be 0 or more, got {exploration}.")
        self.dim = dim
        self.precision = precision
        self.prior_mean = prior_mean
        self.exploration = exploration
        self.seed = seed
        identity = tf_keras.initializers.Identity
        options = {"trainable": False}
        self.information = self.add_weight(
            name="information", shape=[dim, dim], initializer=identity(precision), **options
        )
        self.total = self.add_weight(name="total", shape=[dim], initializer="zeros", **options)
        # What follows from the two, so that to score takes no decomposition.
        root = identity(precision**0.5)
        self.root = self.add_weight(name="root", shape=[dim, dim], initializer=root, **options)
        start = tf_keras.initializers.Constant(prior_mean)
        self.coefficients = self.add_weight(name="coefficients", shape=[dim], initializer=start, **options)
        self.draws = self.add_weight(name="draws", shape=[], dtype="int32", initializer="zeros", **options)

    def call(self, features, explore=None):
        return self.scores(features, explore)

    def scores(self, features: tf.Tensor, explore: str | None = None) -> tf.Tensor:
        """`[rows, ...]` float32 scores of `[rows, ..., dim]` features; see the call arguments."""
        features = self._checked(features)
        if explore not in (None, "ucb", "thompson"):
            raise ValueError(f"explore {explore!r} is no way to. Allowed: ucb, thompson, or None for the mean alone.")
        if explore == "thompson":
            draws = self.sample(features.shape[0] or tf.shape(features)[0])
            return tf.einsum("b...d,bd->b...", features, draws)
        mean = tf.linalg.matvec(features, self.coefficients)
        return mean if explore is None else mean + self.exploration * self.deviation(features)

    def deviation(self, features: tf.Tensor) -> tf.Tensor:
        """`[rows, ...]` float32: sqrt(x^T A^-1 x), what is not known of `[rows, ..., dim]` features."""
        features = self._checked(features)
        flat = tf.reshape(features, [-1, self.dim])
        # With A = L L^T it is the length of L^-1 x.
        solved = tf.linalg.triangular_solve(self.root, tf.transpose(flat), lower=True)
        return tf.reshape(tf.norm(solved, axis=0), tf.shape(features)[:-1])

    def sample(self, count: int | tf.Tensor) -> tf.Tensor:
        """`[count, dim]` float32: coefficients drawn from the posterior; each call draws others."""
        seed = tf.stack([tf.constant(self.seed), tf.identity(self.draws)])
        noise = tf.random.stateless_normal([self.dim, count], seed)
        self.draws.assign_add(1)
        # L^-T z has the covariance (L L^T)^-1.
        away = tf.linalg.triangular_solve(self.root, noise, lower=True, adjoint=True)
        return self.coefficients + self.exploration * tf.transpose(away)

    def update(self, features: tf.Tensor, rewards: tf.Tensor, weights: tf.Tensor | None = None) -> None:
        """Learns from what was shown and what came of it.

        Args:
            features: `[n, dim]` float, of the items that were shown.
            rewards: `[n]` float.
            weights: `[n]` float of 0 or more, what each counts; None, the default, for 1. One of 0 fills up.

        Raises:
            ValueError: for features of another width, or other than one row for each reward.
        """
        features, rewards = self._checked(features), tf.cast(rewards, tf.float32)
        if (
            features.shape.rank != 2
            or rewards.shape.rank != 1
            or not features.shape[:1].is_compatible_with(rewards.shape)
        ):
            raise ValueError(
                f"update takes features [n, {self.dim}] and a reward for each row, got {features.shape} and "
                f"{rewards.shape}."
            )
        weighted = features if weights is None else features * tf.cast(weights, tf.float32)[:, None]
        surprise = rewards - self.prior_mean * tf.reduce_sum(features, axis=1)
        self.information.assign_add(tf.matmul(weighted, features, transpose_a=True))
        self.total.assign_add(tf.linalg.matvec(weighted, surprise, transpose_a=True))
        # A whole decomposition for each batch: unlike Sherman-Morrison's steps it adds up no rounding errors.
        root = tf.linalg.cholesky(self.information)
        self.root.assign(root)
        self.coefficients.assign(self.prior_mean + tf.linalg.cholesky_solve(root, self.total[:, None])[:, 0])

    def get_config(self):
        own = {"dim": self.dim, "precision": self.precision, "prior_mean": self.prior_mean}
        return {**super().get_config(), **own, "exploration": self.exploration, "seed": self.seed}

    def _checked(self, features):
        features = tf.cast(features, tf.float32)
        if features.shape.rank is None or features.shape.rank < 2 or features.shape[-1] != self.dim:
            raise ValueError(f"features are [rows, ..., {self.dim}], got {features.shape}.")
        return features


def pair_features(queries: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
    """`[users, items, dim]` products, coordinate by coordinate, whose sum is the score of a retrieval model.

    Args:
        queries: `[users, dim]` float, as `TwoTower` embeds them.
        candidates: `[items, dim]` float, or `[users, items, dim]`, items of each user's own.
    """
    candidates = candidates if candidates.shape.rank == 3 else candidates[None]
    return queries[:, None] * candidates
