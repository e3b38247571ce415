"""How fast the package's own fits learn from step to step."""

import math

import tf_keras


def warm_up_cosine(
    steps: int, peak: float, share: float = 1 / 20
) -> tf_keras.optimizers.schedules.LearningRateSchedule:
    """A learning rate that rises in a straight line and falls to zero as a cosine.

    The first gradients of a fresh model, and Adam's first estimates, are poor guides, hence the rise; a fall to zero
    lets the last steps settle, so that the weights of the final epoch can be used as they are.

    Args:
        steps: int. Steps of the whole fit, at least 1.
        peak: float. The highest rate.
        share: float in [0, 1). Share of the steps that it rises, rounded up to whole steps; at 0 it starts at its peak,
            as does a fit of a single step, which would learn nothing at the rate that a rise begins with.

    Reference: Loshchilov and Hutter, SGDR: Stochastic gradient descent with warm restarts (2017), for the cosine.
    """
    warm_up = min(math.ceil(steps * share), steps - 1)
    rising = {"warmup_target": peak, "warmup_steps": warm_up} if warm_up else {}
    return tf_keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warm_up else peak, decay_steps=max(steps - warm_up, 1), **rising
    )
