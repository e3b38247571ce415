"""What every fusion promises, whatever its method: masks, stand-ins, odd batches, XLA and mixed precision."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.config import FusionConfig
from mmrec_tf.errors import ConfigError
from mmrec_tf.fusion import Fusion, build_fusion, fusion_names
from tests.fusion.by_hand import randomized, three_modalities

WEIGHING = ("weighted_sum", "gated", "attention", "attention_pooling", "cross_attention")
every_method = pytest.mark.parametrize("method", fusion_names())


def built(method: str, dim: int = 8, features=None, masks=None, **options) -> Fusion:
    """A fusion with random weights, stand-ins too."""
    features, masks = (features, masks) if features else three_modalities()
    fusion = build_fusion(FusionConfig(method=method, dim=dim, modality_dropout=0.0, **options))
    fusion(features, masks)
    return randomized(fusion)


def gradients_of(fusion, features, masks):
    """The loss of a training step and its gradients by weight."""
    with tf.GradientTape() as tape:
        fused = tf.cast(fusion(features, masks, training=True), tf.float32)
        loss = tf.add_n([tf.reduce_sum(fused * tf.cos(fused)), *fusion.losses])
    weights = fusion.trainable_weights
    return loss, tape.gradient(loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)


@every_method
def test_raw_values_of_an_absent_modality_have_no_influence(method):
    features, masks = three_modalities()
    fusion = built(method)
    expected = fusion(features, masks).numpy()
    _, expected_gradients = gradients_of(fusion, features, masks)
    for raw in (np.nan, np.inf, -1e30):
        spoilt = {name: np.where(masks[name][:, None], features[name], np.float32(raw)) for name in features}
        np.testing.assert_allclose(fusion(spoilt, masks), expected, rtol=1e-5, atol=1e-6)
        for one, other in zip(gradients_of(fusion, spoilt, masks)[1], expected_gradients):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@every_method
def test_no_number_in_a_present_modality_spoils_its_own_row_only(method):
    features, masks = three_modalities()
    fusion = built(method)
    expected = fusion(features, masks).numpy()
    spoilt = {**features, "image": np.where(np.arange(6)[:, None] == 0, np.nan, features["image"]).astype(np.float32)}
    found = fusion(spoilt, masks).numpy()
    assert np.isnan(found[0]).any()
    np.testing.assert_allclose(found[1:], expected[1:], rtol=1e-5, atol=1e-6)


@every_method
def test_a_row_without_any_modality_is_made_of_the_stand_ins(method):
    features, masks = three_modalities()
    fusion = built(method)
    nothing = {name: np.zeros(6, bool) for name in masks}
    found = fusion(features, nothing).numpy()
    assert np.isfinite(found).all() and np.ptp(found, axis=0).max() < 1e-5
    # The same vector stands in the middle of an ordinary batch: row 3 there has nothing.
    np.testing.assert_allclose(fusion(features, masks)[3], found[0], rtol=1e-5, atol=1e-6)
    loss, gradients = gradients_of(fusion, features, nothing)
    by_name = {weight.name: gradient for weight, gradient in zip(fusion.trainable_weights, gradients)}
    assert all(np.isfinite(tf.convert_to_tensor(gradient)).all() for gradient in gradients)
    stand_ins = [gradient for name, gradient in by_name.items() if "stand_in" in name]
    assert len(stand_ins) == 3 and all(np.abs(gradient).max() > 0 for gradient in stand_ins)


@every_method
@pytest.mark.parametrize(
    "case", ["one row", "one modality", "identical items", "constant vectors", "zeros", "no rows", "large values"]
)
def test_odd_batches_give_finite_vectors_and_gradients(method, case):
    features, masks = three_modalities()
    if case == "one row":
        features, masks = ({name: values[:1] for name, values in each.items()} for each in (features, masks))
    elif case == "one modality":
        features, masks = {"text": features["text"]}, {"text": masks["text"]}
    elif case == "identical items":
        features, masks = ({name: values[[0] * 6] for name, values in each.items()} for each in (features, masks))
    elif case == "no rows":
        features, masks = ({name: values[:0] for name, values in each.items()} for each in (features, masks))
    else:
        value = {"constant vectors": 1.0, "zeros": 0.0, "large values": 1e4}[case]
        features = {name: np.full_like(values, value) for name, values in features.items()}
    fusion = build_fusion(FusionConfig(method=method, dim=8))
    fused = fusion(features, masks).numpy()
    assert fused.shape == (len(next(iter(masks.values()))), 8) and np.isfinite(fused).all()
    loss, gradients = gradients_of(fusion, features, masks)
    assert np.isfinite(loss)
    assert all(np.isfinite(tf.convert_to_tensor(gradient)).all() for gradient in gradients)
    if case == "identical items":
        np.testing.assert_allclose(fused, fused[[0] * 6], rtol=1e-5)


@every_method
def test_a_row_does_not_depend_on_its_batch(method):
    features, masks = three_modalities()
    fusion = built(method)
    together = fusion(features, masks).numpy()
    for row in range(6):
        part = slice(row, row + 1)
        alone = fusion({n: v[part] for n, v in features.items()}, {n: v[part] for n, v in masks.items()})
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-4, atol=1e-5)


@every_method
def test_order_of_the_modalities_does_not_matter(method):
    features, masks = three_modalities()
    fusion = built(method)
    turned = fusion(dict(reversed(features.items())), masks)
    np.testing.assert_allclose(turned, fusion(features, masks), rtol=1e-5, atol=1e-6)


@every_method
def test_hidden_modalities_are_those_of_an_absent_one(method):
    features, masks = three_modalities()
    fusion = built(method)
    expected = fusion(features, {name: np.zeros(6, bool) for name in masks}).numpy()
    fusion.modality_dropout = 0.999999
    np.testing.assert_allclose(fusion(features, masks, training=True), expected, rtol=1e-5, atol=1e-6)
    # And only in training.
    assert np.abs(fusion(features, masks).numpy() - expected).max() > 1e-3


def test_modality_dropout_hides_each_modality_at_the_asked_rate():
    # A weight that is not 0 says that the modality was seen: 5000 rows, a hidden with 0.3, b absent in half of them.
    rows, rate = 5000, 0.3
    fusion = build_fusion(FusionConfig(method="weighted_sum", dim=2, modality_dropout=rate))
    features = {"a": tf.ones([rows, 2]), "b": tf.ones([rows, 2])}
    masks = {"a": tf.ones([rows], bool), "b": tf.range(rows) % 2 == 0}
    fusion(features, masks)
    tf.random.set_seed(1)
    weights = fusion(features, masks, training=True, returns="weights")
    a, b = weights["a"].numpy(), weights["b"].numpy()
    # Both there, hidden both (0.09) or none (0.49): 1/2 each. a alone: 0.7 * 0.3. b alone: 0.3 * 0.7.
    both = slice(0, None, 2)
    for found, expected in (
        ((a[both] == 0.5).mean(), 0.58),
        ((a[both] == 1).mean(), 0.21),
        ((b[both] == 1).mean(), 0.21),
    ):
        # Four standard deviations of a binomial.
        assert abs(found - expected) < 4 * np.sqrt(expected * (1 - expected) / (rows / 2))
    # b absent: seen is a alone (0.7), or nothing, and then the stand-ins share alike.
    alone = (a[1::2] == 1).mean()
    assert abs(alone - 0.7) < 4 * np.sqrt(0.21 / (rows / 2))
    assert set(a[1::2]) == {1.0, 0.5}


@every_method
def test_weights_by_modality(method):
    features, masks = three_modalities()
    fusion = built(method)
    if method not in WEIGHING:
        with pytest.raises(ConfigError, match="without weighing them. For weights by modality set fusion.method to"):
            fusion.modality_weights(features, masks)
        return
    weights = fusion.modality_weights(features, masks)
    assert list(weights) == ["audio", "image", "text"]
    stacked = np.stack(list(weights.values()), axis=1)
    present = np.stack([masks[name] for name in weights], axis=1)
    present |= ~present.any(axis=1, keepdims=True)
    if method == "cross_attention":
        # audio, the first, is the query; where none of the others is there, both stand-ins are looked at.
        assert not stacked[:, 0].any()
        present = present[:, 1:] | ~present[:, 1:].any(axis=1, keepdims=True)
        stacked = stacked[:, 1:]
    np.testing.assert_allclose(stacked.sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(stacked > 0, present)


def test_the_error_about_weights_names_the_methods_that_have_them():
    with pytest.raises(ConfigError) as error:
        built("concat").modality_weights(*three_modalities())
    listed = str(error.value).split("fusion.method to ")[1].rstrip(".").replace(" or ", ", ").split(", ")
    assert sorted(listed) == sorted(WEIGHING)
    assert sorted(name for name in fusion_names() if built(name).weighs_modalities) == sorted(WEIGHING)


@every_method
def test_tokens_are_each_modality_alone_and_train_the_methods_own_map(method):
    features, masks = three_modalities()
    fusion = built(method)
    with tf.GradientTape(persistent=True) as tape:
        tokens = fusion.modality_tokens(features, masks)
        image = tf.reduce_sum(tokens["image"])
    assert {name: token.shape.as_list() for name, token in tokens.items()} == {name: [6, 8] for name in features}
    gradients = tape.gradient(image, fusion.trainable_weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    assert max(np.abs(tf.convert_to_tensor(gradient)).max() for gradient in gradients) > 0
    # Another modality's vector changes nothing.
    moved = fusion.modality_tokens({**features, "text": features["text"] + 1.0}, masks)
    np.testing.assert_array_equal(moved["image"], tokens["image"])
    assert np.abs(moved["text"] - tokens["text"]).max() > 1e-3


def test_tokens_of_concat_add_up_to_what_it_gives():
    features, masks = three_modalities()
    fusion = built("concat")
    tokens = fusion.modality_tokens(features, masks)
    kernel, bias = fusion.mix.get_weights()
    present = np.stack([masks[name] for name in sorted(masks)], axis=1)
    expected = sum(tokens.values()) + present @ kernel[-3:] + bias
    np.testing.assert_allclose(fusion(features, masks), expected, rtol=1e-4, atol=1e-5)


def test_a_fusion_without_a_map_for_each_modality_says_so():
    class Sum(Fusion):
        def fuse(self, features, masks):
            return tf.add_n(list(features.values()))

    with pytest.raises(ConfigError, match="Sum has no map for each modality alone"):
        Sum(dim=2).modality_tokens({"a": np.ones([1, 2])}, {"a": np.array([True])})


@every_method
def test_training_under_xla_is_that_without(method):
    features, masks = three_modalities()
    fusion = built(method)
    features, masks = tf.nest.map_structure(tf.constant, (features, masks))
    plain_loss, plain = gradients_of(fusion, features, masks)
    compiled = tf.function(lambda: gradients_of(fusion, features, masks), jit_compile=True)
    loss, gradients = compiled()
    np.testing.assert_allclose(loss, plain_loss, rtol=1e-4)
    for one, other in zip(gradients, plain):
        scale = np.abs(other).max() + 1e-3
        np.testing.assert_allclose(one / scale, other / scale, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@every_method
def test_two_hundred_steps_in_half_precision(method, policy):
    before = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy(policy)
    try:
        features, masks = three_modalities(rows=32)
        target = np.tanh(features["text"][:, :1] * features["image"][:, :1]).astype(np.float32)
        inputs = {name: tf_keras.Input([values.shape[1]], name=name) for name, values in features.items()}
        present = {name: tf_keras.Input([], dtype=tf.bool, name=f"has_{name}") for name in masks}
        fused = build_fusion(FusionConfig(method=method, dim=8))(inputs, masks=present)
        output = tf_keras.layers.Dense(1, dtype="float32")(tf_keras.layers.Activation("gelu")(fused))
        model = tf_keras.Model([*inputs.values(), *present.values()], output)
        # Under float16, compile wraps the optimizer so that the loss is scaled.
        model.compile(optimizer=tf_keras.optimizers.Adam(1e-2), loss="mse")
        data = tf.data.Dataset.from_tensors(((*features.values(), *masks.values()), target)).repeat(200)
        losses = []
        callback = tf_keras.callbacks.LambdaCallback(on_batch_end=lambda batch, logs: losses.append(logs["loss"]))
        model.fit(data, epochs=1, verbose=0, callbacks=[callback])
    finally:
        tf_keras.mixed_precision.set_global_policy(before)
    assert len(losses) == 200 and np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
