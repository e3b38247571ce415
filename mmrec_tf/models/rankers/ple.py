"""PLE: experts that all targets share beside experts of each one's own, layer upon layer."""

from collections.abc import Sequence

import tensorflow as tf
import tf_keras

from mmrec_tf._keras import weight_name
from mmrec_tf.models.multi_gate_experts import each_as_a_dense_layer, gate_softmax, of_experts
from mmrec_tf.models.rankers.fields import flattened
from mmrec_tf.models.rankers.several_targets import SeveralTargets
from mmrec_tf.models.rankers.target_head import TargetTower


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class ExtractionLayer(tf_keras.layers.Layer):
    """Mixes, for each target, its own experts and the shared ones; and, for the next layer, all of them.

        f_e(x) = relu(x K_e + b_e)
        y_t = sum over own and shared e of softmax(x_t W_t)_e f_e,   y_s = sum over all e of softmax(x_s W_s)_e f_e

    where an expert of t reads x_t and a shared one x_s. Gates are worked out in float32.

    Args:
        units: int. Width of the experts.
        targets: list of str. Names of the targets.
        experts: int. Shared experts. Defaults to 2.
        own_experts: int. Experts of each target. Defaults to 1.
        is_last: bool. There is no next layer, and y_s is left out. Defaults to False.

    Call arguments:
        inputs: dict of target -> `[rows, width]` float tensor x_t.
        shared: `[rows, width]` float tensor x_s.

    Returns:
        dict of target -> `[rows, units]` float tensor y_t, and `[rows, units]` y_s, or None.

    Reference: Tang et al., Progressive layered extraction: a novel multi-task learning model for personalized
    recommendations (RecSys 2020).
    """

    def __init__(
        self,
        units: int,
        targets: Sequence[str],
        experts: int = 2,
        own_experts: int = 1,
        is_last: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = units
        self.targets = list(targets)
        self.experts = experts
        self.own_experts = own_experts
        self.is_last = is_last

    def build(self, input_shape):
        width = next(iter(input_shape.values()))[-1]

        def add(name, initializer, *shape):
            return self.add_weight(name=name, shape=shape, initializer=initializer)

        def experts(name, count):
            kernel = add(f"kernel_{name}", each_as_a_dense_layer, count, width, self.units)
            return kernel, add(f"bias_{name}", "zeros", count, self.units)

        names = {name: weight_name(f"of_{name}") for name in self.targets}
        self.own = {name: experts(names[name], self.own_experts) for name in self.targets}
        self.common = experts("shared", self.experts)
        gates = self.own_experts + self.experts
        self.gates = {name: add(f"gate_{names[name]}", "glorot_uniform", width, gates) for name in self.targets}
        if not self.is_last:
            every = self.experts + self.own_experts * len(self.targets)
            self.common_gate = add("gate_shared", "glorot_uniform", width, every)
        super().build(input_shape)

    def call(self, inputs, shared):
        # Under a mixed policy Keras casts the first argument alone.
        shared = tf.cast(shared, self.compute_dtype)
        own = {name: tf.nn.relu(of_experts(inputs[name], *self.own[name])) for name in self.targets}
        common = tf.nn.relu(of_experts(shared, *self.common))
        mixed = {
            name: _mixture(inputs[name], self.gates[name], tf.concat([own[name], common], axis=1))
            for name in self.targets
        }
        if self.is_last:
            return mixed, None
        return mixed, _mixture(shared, self.common_gate, tf.concat([*own.values(), common], axis=1))

    def get_config(self):
        own = {
            "units": self.units,
            "targets": list(self.targets),
            "experts": self.experts,
            "own_experts": self.own_experts,
            "is_last": self.is_last,
        }
        return {**super().get_config(), **own}


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class PLE(SeveralTargets):
    """Keeps what is common and what is a target's own in experts of their own, so that neither disturbs the other.

        x_t = x_s = [v_1; ...; v_F], then `shared_layers` of `ExtractionLayer`,   o_t = MLP_t(x_t)

    One layer of it is CGC, customised gate control.

    See `SeveralTargets` for the other arguments, call arguments and shapes.

    Args:
        hidden: list of int, at least `shared_layers`. The width of the experts in each extraction layer, then those of
            each target's tower.
        shared_layers: int. Extraction layers. Defaults to 1.
        experts: int. Shared experts of each layer. Defaults to 2.
        own_experts: int. Experts of each target in each layer. Defaults to 1.

    Reference: Tang et al., Progressive layered extraction: a novel multi-task learning model for personalized
    recommendations (RecSys 2020).
    """

    title = "PLE"

    def __init__(self, users, items, dim, hidden, shared_layers=1, experts=2, own_experts=1, **kwargs):
        super().__init__(users, items, dim, hidden, **kwargs)
        self.shared_layers = shared_layers
        self.experts = experts
        self.own_experts = own_experts
        self.extraction = [
            ExtractionLayer(width, self.target_names, experts, own_experts, is_last=place == shared_layers - 1)
            for place, width in enumerate(self.hidden[:shared_layers])
        ]
        self.towers = {
            name: TargetTower(self.hidden[shared_layers:], self.dropout, name=f"tower_{name}")
            for name in self.target_names
        }

    def target_outputs(self, pairs, training):
        shared = flattened(pairs.vectors())
        mixed = dict.fromkeys(self.target_names, shared)
        for layer in self.extraction:
            mixed, shared = layer(mixed, shared)
        return {name: tower(mixed[name], training=training) for name, tower in self.towers.items()}

    def get_config(self):
        own = {"shared_layers": self.shared_layers, "experts": self.experts, "own_experts": self.own_experts}
        return {**super().get_config(), **own}


def _mixture(inputs, gate, outputs):
    """`[rows, units]` of what a gate listens to."""
    shares = gate_softmax(tf.matmul(inputs, gate))
    return tf.reduce_sum(shares[:, :, None] * outputs, axis=1)
