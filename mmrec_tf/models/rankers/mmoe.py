"""MMoE: several targets share experts, and each has a gate that says which of them to listen to."""

import tf_keras

from mmrec_tf.models.multi_gate_experts import MultiGateExperts
from mmrec_tf.models.rankers.fields import flattened
from mmrec_tf.models.rankers.several_targets import SeveralTargets
from mmrec_tf.models.rankers.target_head import TargetTower


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class MMoE(SeveralTargets):
    """Lets targets share what they agree on and keep apart where they do not.

        o_t = MLP_t(sum_e g_t(x)_e f_e(x)),   x = [v_1; ...; v_F]

    with the experts f and gates g of `MultiGateExperts`.

    See `SeveralTargets` for the other arguments, call arguments and shapes.

    Args:
        hidden: list of int, at least one. The width of the experts, then those of each target's tower.
        experts: int. Defaults to 4.

    Reference: Ma et al., Modeling task relationships in multi-task learning with multi-gate mixture-of-experts
    (KDD 2018).
    """

    title = "MMoE"

    def __init__(self, users, items, dim, hidden, experts=4, **kwargs):
        super().__init__(users, items, dim, hidden, **kwargs)
        self.experts = experts
        self.mixture = MultiGateExperts(experts, self.hidden[0], self.target_names, name="mixture")
        self.towers = {
            name: TargetTower(self.hidden[1:], self.dropout, name=f"tower_{name}") for name in self.target_names
        }

    def target_outputs(self, pairs, training):
        mixed = self.mixture(flattened(pairs.vectors()))
        return {name: tower(mixed[name], training=training) for name, tower in self.towers.items()}

    def get_config(self):
        return {**super().get_config(), "experts": self.experts}
