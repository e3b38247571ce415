"""Items born after training are embedded in the served graph as the models embed them in Python."""

import base64
import io
import json
import urllib.error
import urllib.request

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from PIL import Image

from mmrec_tf.data.number_scale import NumberScale
from mmrec_tf.data.sequences import Sequences
from mmrec_tf.encoders.audio_cnn import AudioCnnEncoder
from mmrec_tf.encoders.base import Encoder, normalised
from mmrec_tf.encoders.hashed_text import HashedTextEncoder
from mmrec_tf.encoders.image_cnn import ImageCnnEncoder
from mmrec_tf.encoders.readers import TextReader
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.models.build import build_two_tower
from mmrec_tf.recommend.engine import RecommendationEngine
from mmrec_tf.schema import Schema
from mmrec_tf.serving.export import export_models
from mmrec_tf.serving.item_encoder import item_encoder, why_not_served
from mmrec_tf.serving.op_check import check_graph, check_model
from mmrec_tf.serving.server import running_server
from tests import tiny_world
from tests.media_files import sound, tone
from tests.saved_model_c_api import run_signatures

SCHEMA = Schema(
    user=tiny_world.SCHEMA.user,
    item={
        "item_id": "id",
        "category": "categorical",
        "tags": "multi_categorical",
        "price": "number",
        "released": "timestamp",
        "about it": "text",
        "photo": "image",
        "jingle": "audio",
        "look": "vector",
    },
    context={"timestamp": "timestamp"},
)
ITEMS = 12
ENCODERS = {
    "about it": HashedTextEncoder(dim=16),
    "photo": ImageCnnEncoder(dim=16, image_size=32),
    "jingle": AudioCnnEncoder(dim=16, sample_rate=8000, seconds=0.5),
}


def photo(row: int) -> bytes:
    random = np.random.default_rng(row)
    blobs = Image.fromarray(random.integers(0, 256, [5, 5, 3], np.uint8)).resize((50 + row, 40), Image.BICUBIC)
    file = io.BytesIO()
    blobs.save(file, "PNG")
    return file.getvalue()


def jingle(row: int) -> bytes:
    # Some shorter and some longer than half a second, half of them at another rate than the encoder's.
    rate = 8000 if row % 2 else 11025
    waves = tone(0.3 + 0.05 * row, rate, 300.0 + 90 * row) + tone(0.3 + 0.05 * row, rate, 700.0 + 50 * row, 0.3)
    return sound(waves, rate, subtype="PCM_16")


def frame() -> pd.DataFrame:
    rows = range(ITEMS)
    return pd.DataFrame(
        {
            "item_id": [f"i{row}" for row in rows],
            "category": [("lamp", "chair", "")[row % 3] for row in rows],
            "tags": [["red", "old", "rare"][: row % 4] for row in rows],
            "price": [float("nan") if row % 5 == 4 else 10.0 + 3 * row for row in rows],
            "released": [float("nan") if row % 7 == 6 else 1.6e9 + 1e6 * row**2 for row in rows],
            "about it": ["" if row % 6 == 5 else f"A lamp of {row} parts, größer and Café no {row}" for row in rows],
            "photo": [b"" if row % 4 == 3 else photo(row) for row in rows],
            "jingle": [b"" if row % 3 == 2 else jingle(row) for row in rows],
            "look": [None if row == 7 else np.float32([row, 1.0, row % 3]) for row in rows],
        }
    )


def scales() -> dict[str, NumberScale]:
    """Of the nine items that training has seen."""
    return {name: NumberScale.fit(frame()[name].to_numpy()[:9]) for name in ("price", "released")}


@pytest.fixture(scope="module")
def world():
    """A retrieval model of the items, their table, and the encoder for new ones."""
    tf.keras.utils.set_random_seed(3)
    items, modalities = frame(), {}
    for name, encoder in ENCODERS.items():
        contents = [encoder.decode(source) if source else None for source in items[name]]
        mask = np.array([content is not None for content in contents])
        vectors = np.zeros((ITEMS, encoder.dim), np.float32)
        for row in np.flatnonzero(mask):
            content = contents[row]
            if encoder.varying_length:
                # As in a batch with a clip of full length.
                content = np.pad(content, (0, encoder.content_shape[0] - len(content)))
            vectors[row] = encoder(tf.constant(content)[None])[0]
        modalities[name] = vectors, mask
    mask = np.array([vector is not None for vector in items["look"]])
    modalities["look"] = np.stack([np.zeros(3) if v is None else v for v in items["look"]]), mask
    table = FeatureTable.build(items, SCHEMA.item, np.arange(9), modalities)
    config = tiny_world.config(schema=SCHEMA.model_dump())
    retrieval = build_two_tower(config, tiny_world.user_table(), table)
    for weight in retrieval.items.weights + retrieval.candidate_tower.weights + retrieval.popularity.weights:
        if weight.dtype == tf.float32 and weight.trainable:
            weight.assign_add(np.random.default_rng(1).normal(size=weight.shape, scale=0.1))
    retrieval.newness.assign(0.25)
    return (
        retrieval,
        table,
        item_encoder(
            retrieval,
            SCHEMA.item,
            table,
            scales(),
            ENCODERS,
        ),
    )


def raw(rows) -> dict[str, tf.Tensor]:
    items = frame().iloc[rows]
    width = max(map(len, items["tags"]))
    return {
        "category": tf.constant(items["category"].tolist()),
        "tags": tf.constant([[*tags, *[""] * (width - len(tags))] for tags in items["tags"]], tf.string),
        "price": tf.constant(items["price"].to_numpy(np.float32)[:, None]),
        "released": tf.constant(items["released"].to_numpy(np.float32)[:, None]),
        "about_it": tf.constant(items["about it"].tolist()),
        "photo_bytes": tf.constant(items["photo"].tolist()),
        "jingle_bytes": tf.constant(items["jingle"].tolist()),
        "look": tf.constant(np.stack([np.zeros(3) if v is None else v for v in items["look"]]), tf.float32),
    }


def test_inputs_follow_the_schema(world):
    _, _, encoder = world
    assert {name: (spec.shape.rank, spec.dtype.name) for name, spec in encoder.inputs.items()} == {
        "category": (1, "string"),
        "tags": (2, "string"),
        "price": (2, "float32"),
        "released": (2, "float32"),
        "about_it": (1, "string"),
        "photo_bytes": (1, "string"),
        "jingle_bytes": (1, "string"),
        "look": (2, "float32"),
    }
    assert encoder.notes == ()


def test_an_item_gets_the_embedding_that_the_model_gives_it_as_a_new_one(world):
    retrieval, _, encoder = world
    rows = np.arange(ITEMS)
    expected = retrieval.embed_candidate(tf.constant(rows + 1, tf.int32), without_ids=True).numpy()
    found = encoder(raw(rows)).numpy()
    assert found.shape == (ITEMS, tiny_world.DIM + 2)
    # Twelve different items, and the last number, the trend, is 0 for those that nobody has touched.
    assert np.linalg.norm(found[0] - found[1]) > 0.05 and (found[:, -1] == 0.0).all()
    np.testing.assert_allclose(found, expected, atol=2e-3)
    cosines = (found[:, :8] * expected[:, :8]).sum(axis=1)
    assert cosines.min() > 0.9999
    np.testing.assert_allclose(found[:, 8:], expected[:, 8:], atol=1e-6)


def test_items_do_not_depend_on_the_others_of_the_batch(world):
    _, _, encoder = world
    together = encoder(raw([0, 1, 3])).numpy()
    for place, row in enumerate([0, 1, 3]):
        np.testing.assert_allclose(encoder(raw([row])).numpy()[0], together[place], atol=1e-4)
    assert encoder({name: value[:0] for name, value in raw([0]).items()}).shape == (0, tiny_world.DIM + 2)


def test_an_item_without_anything_is_placed_by_what_is_missing(world):
    retrieval, _, encoder = world
    nothing = {
        name: tf.zeros([1] if spec.shape.rank == 1 else [1, 0], spec.dtype) for name, spec in encoder.inputs.items()
    }
    # Index 0 is the item of which nothing is known.
    expected = retrieval.embed_candidate(tf.constant([0]), without_ids=True)
    np.testing.assert_allclose(encoder(nothing), expected, atol=1e-5)


def test_a_text_that_cleaning_empties_is_missing(world):
    retrieval, table, _ = world
    encoders = {**ENCODERS, "about it": HashedTextEncoder(dim=16, clean={})}
    encoder = item_encoder(retrieval, SCHEMA.item, table, scales(), encoders)
    texts = ["", "<img src='a1.jpg'><br/>", "www.shop.example/p/1", "<p>a lamp</p>", "a lamp"]
    nothing, markup, address, marked_up, plain = encoder({**raw([0] * 5), "about_it": tf.constant(texts)}).numpy()
    np.testing.assert_allclose([markup, address], [nothing, nothing], atol=1e-6)
    np.testing.assert_allclose(marked_up, plain, atol=1e-6)
    assert np.abs(plain - nothing).max() > 1e-3


def test_the_graph_is_made_of_what_tensorflow_serving_has(world):
    _, _, encoder = world
    names = list(encoder.inputs)
    function = tf.function(
        lambda *given: encoder(dict(zip(names, given))), input_signature=[encoder.inputs[name] for name in names]
    )
    ops, refusals = check_graph(function.get_concrete_function().graph.as_graph_def())
    assert refusals == [] and {"DecodeImage", "DecodeWav", "StringToHashBucketFast"} <= ops


@pytest.mark.parametrize(("name", "message"), [("photo_bytes", "image"), ("jingle_bytes", "WAV|Header|RIFF")])
def test_bytes_that_are_no_such_file_are_refused(world, name, message):
    _, _, encoder = world
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        encoder({**raw([0]), name: tf.constant([b"not a file"])})


@pytest.mark.parametrize("width", [1, 2, 4])
def test_a_vector_of_another_width_is_refused(world, width):
    _, _, encoder = world
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"look takes vectors of 3 numbers, .*; got {width}"):
        encoder({**raw([0]), "look": tf.ones([1, width])})


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_vector_with_what_is_no_finite_number_is_missing(world, wrong):
    _, _, encoder = world
    given = raw([0, 0, 0])
    missing, empty = (encoder({**given, "look": tf.zeros([3, width])}).numpy() for width in (3, 0))
    np.testing.assert_array_equal(missing, empty)
    found = encoder({**given, "look": tf.constant([[1.0, wrong, 2.0], [wrong] * 3, [1.0, 1.0, 2.0]])}).numpy()
    np.testing.assert_allclose(found[:2], missing[:2], atol=1e-6)
    assert np.abs(found[2] - missing[2]).max() > 1e-3


class PythonEncoder(Encoder):
    """Texts by a Python function, as an encoder of one's own might."""

    modality, dim = "text", 4
    reader = TextReader()

    def encode(self, prepared, training=False):
        lengths = tf.numpy_function(lambda texts: np.array([len(t) for t in texts], np.float32), [prepared], tf.float32)
        return normalised(tf.ensure_shape(lengths, [None])[:, None] * tf.ones([1, 4]))


def test_encoders_that_the_server_could_not_run_are_left_out_with_a_note(world):
    retrieval, table, whole = world
    assert all(why_not_served(encoder) is None for encoder in ENCODERS.values())
    assert "TensorFlow Serving has no PyFunc" in why_not_served(PythonEncoder())
    loud = AudioCnnEncoder(dim=16, sample_rate=8000, seconds=0.5, loudness=-16.0)
    assert "one loudness or trimmed" in why_not_served(loud)
    encoder = item_encoder(
        retrieval,
        SCHEMA.item,
        table,
        scales(),
        {**ENCODERS, "jingle": loud},
    )
    assert "jingle_bytes" not in encoder.inputs
    assert encoder.notes == (
        "item_encoder takes no 'jingle': its clips are brought to one loudness or trimmed, which is done in Python. "
        "Items that it embeds count as having none.",
    )
    silent = {**raw([0]), "jingle_bytes": tf.constant([b""])}
    given = {name: value for name, value in silent.items() if name != "jingle_bytes"}
    np.testing.assert_allclose(encoder(given), whole(silent), atol=1e-6)


def test_items_that_are_nothing_but_an_id_have_no_encoder():
    schema = Schema(user={"user_id": "id"}, item={"item_id": "id"}, context={"timestamp": "timestamp"})
    table = FeatureTable.build(frame()[["item_id"]], schema.item, np.arange(9))
    retrieval = build_two_tower(tiny_world.config(schema=schema.model_dump()), tiny_world.user_table(), table)
    assert item_encoder(retrieval, schema.item, table, {}, {}) is None


@pytest.fixture(scope="module")
def exported(world, tmp_path_factory):
    retrieval, table, encoder = world
    tables = tiny_world.user_table(), table
    engine = RecommendationEngine(retrieval, None, *tables, Sequences([0], [1], [1.0], users=20, length=5))
    written = export_models(engine, tmp_path_factory.mktemp("export"), modality_weights=False, item_encoder=encoder)
    return written["item_encoder"]


def test_the_exported_model_answers_the_same_without_any_python_op(world, exported):
    _, _, encoder = world
    assert check_model(exported).refusals == ()
    given = raw([0, 1, 2, 3])
    (answer,) = run_signatures([(exported, "serving_default", {key: value.numpy() for key, value in given.items()})])
    np.testing.assert_allclose(answer["embedding"], encoder(given), atol=1e-5)


def test_files_come_as_base64_over_http(world, exported):
    _, _, encoder = world
    row = {
        "category": "lamp",
        "tags": ["red", "old"],
        "price": [13.0],
        "released": [1.604e9],
        "about_it": "A lamp of 1 parts",
        "photo_bytes": {"b64": base64.b64encode(photo(1)).decode()},
        "jingle_bytes": {"b64": ""},
        "look": [],
    }
    with running_server(exported.parents[1], models=["item_encoder"]) as url:
        endpoint = f"{url}/v1/models/item_encoder:predict"
        request = urllib.request.Request(endpoint, data=json.dumps({"instances": [row]}).encode())
        with urllib.request.urlopen(request, timeout=60) as response:
            (answer,) = json.load(response)["predictions"]
        wrong = {**row, "photo_bytes": {"b64": base64.b64encode(b"no image").decode()}}
        request = urllib.request.Request(endpoint, data=json.dumps({"instances": [wrong]}).encode())
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=60)
        assert caught.value.code == 400 and "image" in json.load(caught.value)["error"]
    given = {
        "category": tf.constant(["lamp"]),
        "tags": tf.constant([["red", "old"]]),
        "price": tf.constant([[13.0]]),
        "released": tf.constant([[1.604e9]]),
        "about_it": tf.constant(["A lamp of 1 parts"]),
        "photo_bytes": tf.constant([photo(1)]),
        "jingle_bytes": tf.constant([b""]),
        "look": tf.zeros([1, 0]),
    }
    np.testing.assert_allclose(answer, encoder(given)[0], atol=1e-5)
