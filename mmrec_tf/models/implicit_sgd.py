"""Matrix factorisation of occurrences by gradient descent on drawn negatives."""

from mmrec_tf.models.bpr import Bpr


class ImplicitSgd(Bpr):
    """Recommends by biases and factors trained to tell what a user consumed from what the user did not.

        score(u, i) = b_u + b_i + p_u . q_i
        minimise  mean of -log sigmoid(score(u, i)) - sum over `negatives` draws j of log sigmoid(-score(u, j))
                  + regularization (b_u^2 + b^2 + |p_u|^2 + |q|^2)

    over the pairs (u, i) that occur, with j drawn uniformly from the items that somebody consumed and u did not. It
    differs from `Bpr` in that each pair is judged by itself: the scores are log odds, shifted by the share of
    negatives, and not only an order.

    Args:
        factors, regularization, learning_rate, epochs, batch_size, negatives, seed: as in `Bpr`.

    Reference: Johnson, Logistic matrix factorization for implicit feedback data (2014), with drawn negatives.
    """

    objective = "logistic"
