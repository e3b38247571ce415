"""How far to trust estimates whose rows come in groups, such as the pairs of one user, and what is left of them."""

import numpy as np


def grouped_covariance(
    features: np.ndarray, errors: np.ndarray, curvature: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """Covariance of maximum-likelihood estimates when rows of a group are alike in ways that the model does not know.

        C = H^-1 + H^-1 (G / (G - 1) sum over groups of s_g s_g^T) H^-1,   s_g = sum over i in g of e_i x_i,
        H = sum over i of c_i x_i x_i^T

    A thousand rows of ten users tell little more of a level than ten rows do, which the plain covariance, H^-1, does
    not see. It is added because few groups always agree somewhere: the sums of two are opposite, whatever is true.

    Args:
        features: `[n, parameters]` float, x.
        errors: `[n]` float, e: the derivative of a row's log likelihood by its score.
        curvature: `[n]` float, c: minus the second derivative.
        groups: `[n]` int. Two groups or more.

    Returns:
        `[parameters, parameters]` float64.

    Reference: Liang and Zeger, Longitudinal data analysis using generalized linear models (1986).
    """
    _, row = np.unique(groups, return_inverse=True)
    count = int(row.max()) + 1
    sums = np.zeros([count, features.shape[1]])
    np.add.at(sums, row, features * errors[:, None])
    # A parameter that no row says anything of has no spread, and stays where it is.
    inverse = np.linalg.pinv((features * curvature[:, None]).T @ features)
    return inverse + inverse @ (count / (count - 1) * sums.T @ sums) @ inverse


def shrunk(estimate: np.ndarray, centre: np.ndarray, deviation: float, covariance: np.ndarray) -> np.ndarray:
    """The mean of parameters that were expected at a centre, after an estimate of them.

        centre + P (P + C)^-1 (estimate - centre),   P = deviation^2 I

    Args:
        estimate: `[parameters]` float.
        centre: `[parameters]` float. What was expected.
        deviation: float above 0. How far off they usually are.
        covariance: `[parameters, parameters]` float, C. How far the estimate is off by chance.

    Reference: Lindley and Smith, Bayes estimates for the linear model (1972).
    """
    expected = deviation**2 * np.eye(len(estimate))
    return centre + expected @ np.linalg.solve(expected + covariance, estimate - centre)
