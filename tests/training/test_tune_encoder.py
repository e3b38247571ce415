"""Tuning as a whole: where content decides taste, a tuned encoder beats the frozen one."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.config_encoders import TuningConfig
from mmrec_tf.encoders.frames import FramesEncoder
from mmrec_tf.encoders.hub import HubEncoder
from mmrec_tf.encoders.image_cnn import ImageCnnEncoder
from mmrec_tf.encoders.tuning import plan_tuning
from mmrec_tf.encoders.tuning.sentence_bert import SentenceBertEncoder
from mmrec_tf.errors import EncoderError, RunError
from mmrec_tf.evaluation.ranking_metrics import user_metrics
from mmrec_tf.features.prepared import Prepared, prepare
from mmrec_tf.models.build import build_two_tower
from mmrec_tf.stages import train_retrieval
from mmrec_tf.training import tune_encoder as module
from mmrec_tf.training.fit import set_seed
from mmrec_tf.training.layerwise_adam import LayerwiseAdam as Adam
from mmrec_tf.training.tune_encoder import tune_encoder
from tests import tale_world
from tests.tiny_encoders import make_text_module

FULL = TuningConfig(mode="full", learning_rate=0.003, epochs=8, batch_size=32)
ADAPTER = TuningConfig(mode="adapter", learning_rate=0.01, epochs=14, batch_size=32)


def bert(tales: Prepared, **options) -> SentenceBertEncoder:
    return SentenceBertEncoder(tales.config.encoders["tale"].path, 8, **options)


def untrained(tales):
    return build_two_tower(tales.config, tales.users, tales.items, tales.sequences().item_index)


def ndcg_of_new_tales(prepared: Prepared) -> float:
    """How well the tales that nobody has chosen yet are ranked, by what their texts say alone."""
    set_seed(1)
    model, _ = train_retrieval(prepared)
    users = np.arange(tale_world.USERS)
    scores = model.query_embeddings(users + 1, prepared.sequences().latest(users)) @ model.candidate_embeddings()[1:].T
    new = np.arange(tale_world.OLD, tale_world.OLD + tale_world.NEW)
    lists = new[np.argsort(-scores[:, new], axis=1)]
    groups = tale_world.groups_of_items()
    relevant = (groups[np.newaxis] == users[:, np.newaxis] % tale_world.GROUPS) & (np.arange(len(groups)) >= new[0])
    from scipy.sparse import csr_matrix

    return float(user_metrics(lists, csr_matrix(relevant), [10])["ndcg@10"].mean())


@pytest.fixture(scope="module")
def warm(tales):
    """Weights of a retrieval model trained a little on the frozen vectors, and the frozen vectors' figure."""
    set_seed(1)
    model, _ = train_retrieval(tales, most_epochs=5)
    return model.get_weights(), ndcg_of_new_tales(tales)


@pytest.mark.parametrize("tuning", [FULL, ADAPTER], ids=["full", "adapter"])
def test_tuned_beats_frozen_where_content_decides(tales, warm, tuning):
    weights, frozen = warm
    retrieval = untrained(tales)
    retrieval.set_weights(weights)
    encoder = bert(tales, adapter="lora" if tuning.mode == "adapter" else None)
    set_seed(1)
    result = tune_encoder(tales, retrieval, encoder, "tale", tuning)
    tuned = prepare(tales.data, tales.config, encoders={"tale": result.plan.encoder})
    # The order is nearly perfect, as one word says all; the frozen vectors leave it at about 0.8.
    assert ndcg_of_new_tales(tuned) > max(0.95, frozen + 0.1)
    summary = result.summary
    # Of 240 tales, each chosen by 4 to 5 users in training, hardly one was chosen by none; 32 a step.
    assert summary["steps"] == tuning.epochs * 7
    assert summary["loss after"] == min(result.history["validation loss"]) < summary["loss before"] - 0.4
    assert len(result.history["loss"]) == tuning.epochs == len(result.history["validation loss"]) - 1


def test_the_best_weights_are_kept_and_those_it_came_with_count(tales, monkeypatch):
    encoder = bert(tales)
    before = encoder.fingerprint
    losses = iter([1.0, 3.0, 2.0])
    monkeypatch.setattr(module.EncoderTuning, "evaluate", lambda *_, **__: {"loss": next(losses)})
    tuning = TuningConfig(mode="top", epochs=2, batch_size=64)
    result = tune_encoder(tales, untrained(tales), encoder, "tale", tuning)
    assert result.history["validation loss"] == [1.0, 3.0, 2.0]
    assert result.summary["loss after"] == 1.0 and encoder.fingerprint == before


@pytest.mark.parametrize("key", ["tale", "text"])
def test_a_bad_loss_names_the_encoders_own_learning_rate(tales, monkeypatch, key):
    def stop(advice):
        raise RunError(advice)

    monkeypatch.setattr(module, "StopOnBadLoss", stop)
    config = tales.config.model_copy(update={"encoders": {key: tales.config.encoders["tale"]}})
    with pytest.raises(RunError, match=f"Lower encoders.{key}.tuning.learning_rate"):
        tune_encoder(replace(tales, config=config), untrained(tales), bert(tales), "tale", FULL)


def test_top_changes_the_last_blocks_only(tales, monkeypatch):
    encoder = bert(tales)
    before = {name: [w.numpy() for w in block] for name, block in encoder.tuning_blocks()}
    losses = iter([2.0, 1.0])
    monkeypatch.setattr(module.EncoderTuning, "evaluate", lambda *_, **__: {"loss": next(losses)})
    rates = []
    monkeypatch.setattr(
        module, "LayerwiseAdam", lambda rate, *rest, **named: rates.append(rate) or Adam(rate, *rest, **named)
    )
    tuning = TuningConfig(mode="top", blocks=2, batch_size=64, max_steps=2, learning_rate=0.004, warm_up=0.0)
    tune_encoder(tales, untrained(tales), encoder, "tale", tuning)
    # Two steps without a warm-up: half a cosine from the peak to zero.
    np.testing.assert_allclose([rates[0](step) for step in range(3)], [0.004, 0.002, 0.0], atol=1e-9)
    for name, block in encoder.tuning_blocks():
        moved = [np.any(weight.numpy() != old) for weight, old in zip(block, before[name])]
        # The biases of the keys have no effect on attention, so no gradient.
        assert sum(moved) >= 15 if name in ("block_1", "block_2") else not any(moved), name


@pytest.mark.parametrize(
    ("in_an_epoch", "options", "expected"),
    [
        (7, {"epochs": 3}, (3, 7)),
        (7, {"epochs": 3, "max_steps": 100}, (3, 7)),
        # 150 of 146 a pass: one pass. 10 of 7 a pass is nearer to one pass than to two.
        (146, {"epochs": 3, "max_steps": 150}, (1, 146)),
        (7, {"epochs": 3, "max_steps": 15}, (2, 7)),
        (100, {"epochs": 3, "max_steps": 20}, (1, 20)),
        (1, {"epochs": 2}, (2, 1)),
    ],
)
def test_steps(in_an_epoch, options, expected):
    assert module._steps(in_an_epoch, TuningConfig(mode="full", **options)) == expected


def test_mixed_precision_with_accumulation_and_checkpointing(tales):
    encoder = bert(tales, adapter="lora", checkpointing=True)
    before = [weight.numpy() for weight in encoder.weights]
    tuning = ADAPTER.model_copy(
        update={"mixed_precision": True, "checkpointing": True, "accumulate": 2, "max_steps": 6, "epochs": 2}
    )
    steps = []
    result = tune_encoder(tales, untrained(tales), encoder, "tale", tuning, progress=lambda *step: steps.append(step))
    assert result.summary["steps"] == 6 and steps[-1] == ("tuning the encoder of tale", 6, 6)
    assert result.plan.encoder is encoder and encoder.compute_dtype == "float32"
    assert all(np.isfinite(result.history["loss"]))
    if result.summary["loss after"] < result.summary["loss before"]:
        assert any(np.any(weight.numpy() != old) for weight, old in zip(encoder.weights, before))


def test_what_a_module_cannot(tales, tmp_path):
    hub = HubEncoder("text", str(make_text_module(tmp_path / "module")))
    checkpointing = TuningConfig(mode="full", checkpointing=True)
    with pytest.raises(EncoderError, match="`checkpointing` works with encoders whose layers can be reached"):
        tune_encoder(tales, None, hub, "tale", checkpointing)
    with pytest.raises(EncoderError, match="`mixed_precision` has no effect"):
        tune_encoder(tales, None, hub, "tale", TuningConfig(mode="full", mixed_precision=True))
    # Strings cannot go into a compiled step, but into one that is not.
    tuning = TuningConfig(mode="adapter", max_steps=2, batch_size=32)
    before = hub(tf.constant(["word1"])).numpy()
    result = tune_encoder(tales, untrained(tales), hub, "tale", tuning, xla=True)
    assert result.summary["steps"] == 2
    np.testing.assert_array_equal(hub(tf.constant(["word1"])), before)


class Pictures(ImageCnnEncoder):
    """Pictures of one grey each, dark ones for even groups: what an untrained network ignores is their brightness."""

    def decode(self, source):
        return pictures()[int(source) - 1]


def pictures() -> np.ndarray:
    groups = tale_world.groups_of_items()
    noise = np.random.default_rng(0).integers(0, 60, (len(groups), 16, 16, 3))
    return (noise + 120 * (groups % 2)[:, None, None, None]).astype(np.uint8)


def picture_world(tales: Prepared, encoder: Pictures) -> Prepared:
    names = [str(row + 1).encode() for row in range(tale_world.OLD + tale_world.NEW)]
    data = tales.data.__class__(
        tales.data.schema, tales.data.interactions, tales.data.items.assign(tale=names), tales.data.users
    )
    vectors = encoder(pictures()).numpy()
    items = tales.items.build(
        data.items, tales.data.schema.item, np.arange(240), {"tale": (vectors, np.ones(300, bool))}
    )
    return Prepared(data, tales.config, tales.split, tales.users, items, {})


def test_a_light_encoder_is_trained_end_to_end(tales):
    encoder = Pictures(dim=16, image_size=16)
    before = encoder(pictures()).numpy()
    world = picture_world(tales, encoder)
    set_seed(1)
    retrieval, _ = train_retrieval(world, most_epochs=3)
    tuning = TuningConfig(mode="full", learning_rate=0.01, epochs=3, batch_size=32)
    result = tune_encoder(world, retrieval, encoder, "tale", tuning)
    assert result.summary["share"] == 1.0
    assert result.summary["loss after"] < result.summary["loss before"]
    assert np.abs(encoder(pictures()).numpy() - before).max() > 0.01


def test_an_adapter_behind_a_light_encoder_learns_in_mixed_precision(tales, monkeypatch):
    encoder = Pictures(dim=16, image_size=16)
    world = picture_world(tales, encoder)
    losses = iter([2.0, 1.0])
    monkeypatch.setattr(module.EncoderTuning, "evaluate", lambda *_, **__: {"loss": next(losses)})
    tuning = TuningConfig(mode="adapter", mixed_precision=True, batch_size=64, max_steps=2)
    result = tune_encoder(world, untrained(world), encoder, "tale", tuning)
    assert result.plan.encoder.encoder is encoder
    # It starts at zero, as no change.
    assert np.any(result.plan.weights["behind/bottleneck_up"].numpy())


@pytest.mark.parametrize("mode", ["full", "adapter"])
def test_mixed_precision_reaches_an_encoder_inside_another(mode):
    frames = FramesEncoder(ImageCnnEncoder(dim=8, image_size=16), frames=2)
    tuning = TuningConfig(mode=mode, mixed_precision=True)
    plan = plan_tuning(frames, tuning)
    copy = module._in_bfloat16(plan.encoder, tuning)
    over_images = copy.encoder if mode == "full" else copy.encoder.encoder
    assert over_images.image.compute_dtype == "bfloat16" and frames.image.compute_dtype == "float32"
    videos = np.random.default_rng(0).integers(0, 256, (3, 2, 16, 16, 3))
    # bfloat16 has 8 bits, so numbers come out near those of float32, and not the same.
    difference = np.abs(copy.encoder(videos).numpy() - plan.encoder(videos).numpy()).max()
    assert 1e-5 < difference < 0.05
