"""Losses of the ranking model by name."""

import numpy as np
import pytest

from mmrec_tf.errors import ConfigError
from mmrec_tf.losses.listwise_losses import PairwiseLoss
from mmrec_tf.losses.ordinal_loss import OrdinalLoss
from mmrec_tf.losses.ranking_losses import build_ranking_loss, ranking_loss_names


def test_losses_by_name():
    assert isinstance(build_ranking_loss("click", "pairwise"), PairwiseLoss)
    assert build_ranking_loss("rating", "ordinal", levels=[1.0, 2.0]).levels == [1.0, 2.0]
    assert isinstance(build_ranking_loss("rating", "ordinal", levels=[1, 2]), OrdinalLoss)
    assert [ranking_loss_names(target)[0] for target in ("click", "rating")] == ["log_loss", "mse"]


def test_defaults_by_hand():
    labels = np.array([[1.0], [0.0]], np.float32)
    # A logit of log 3 is a chance of 3/4.
    logits = np.log([[3.0], [3.0]]).astype(np.float32)
    np.testing.assert_allclose(build_ranking_loss("click")(labels, logits), -np.log([0.75, 0.25]), rtol=1e-5)
    np.testing.assert_allclose(build_ranking_loss("rating")(labels, np.array([[3.0], [1.0]])), [4.0, 1.0])
    # Half the square within 1, and the distance less a half beyond.
    np.testing.assert_allclose(build_ranking_loss("rating", "huber")(labels, np.array([[4.0], [0.5]])), [2.5, 0.125])


def test_refuses_what_there_is_none_of():
    with pytest.raises(ConfigError, match="'softmaxx' is no loss for the target click. Did you mean 'softmax'"):
        build_ranking_loss("click", "softmaxx")
    with pytest.raises(ConfigError, match="'mse' is no loss for the target click"):
        build_ranking_loss("click", "mse")
    with pytest.raises(ConfigError, match="target 'clicks' is unknown. Did you mean 'click'"):
        build_ranking_loss("clicks")
    with pytest.raises(ConfigError, match="set models.ranking.levels"):
        build_ranking_loss("rating", "ordinal")
