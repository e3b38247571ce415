"""The feature store: what is computed, what is reused, and what survives."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.encoders.base import Encoder
from mmrec_tf.encoders.hashed_text import HashedTextEncoder
from mmrec_tf.encoders.image_cnn import ImageCnnEncoder
from mmrec_tf.errors import EncoderError
from mmrec_tf.features.feature_store import FeatureStore


class Lengths(Encoder):
    """(length, 1) of a text, with a record of what it was asked; "bad" texts cannot be decoded."""

    modality = "text"

    def __init__(self, dim=2, version=1, **kwargs):
        super().__init__(**kwargs)
        self.dim, self.version = dim, version
        self.decoded, self.traces, self.shapes = [], 0, []

    def decode(self, source):
        self.decoded.append(source)
        return None if source.startswith("bad") else source

    def call(self, batch, training=False):
        self.traces += 1
        self.shapes.append(batch.shape.as_list())
        length = tf.cast(tf.strings.length(batch), tf.float32)
        length = tf.where(batch == "nan", np.nan, length)
        return tf.stack([length, tf.ones_like(length)], axis=1)

    def get_config(self):
        return {**super().get_config(), "dim": self.dim, "version": self.version}


def chunks(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.npy"))


def counts(summary):
    return summary.total, summary.computed, summary.reused, summary.absent


def test_values_mask_and_summary(tmp_path):
    store = FeatureStore(tmp_path / "store")
    encoder = Lengths()
    sources = ["a", None, "bad", "four", "a", ""]
    assert counts(store.embed(encoder, sources)) == (6, 2, 1, 3)
    vectors, mask = store.read(encoder, sources)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, [[1, 1], [0, 0], [0, 0], [4, 1], [1, 1], [0, 0]])
    np.testing.assert_array_equal(mask, [True, False, False, True, True, False])


def test_a_text_that_cleaning_empties_is_absent(tmp_path):
    store = FeatureStore(tmp_path / "store")
    sources = ["<img src='a1.jpg'>", "a <b>red</b> shirt", "https://shop.example/p/1?x=2", "a red shirt"]
    assert counts(store.embed(HashedTextEncoder(clean={}), sources)) == (4, 2, 0, 2)
    assert counts(store.embed(HashedTextEncoder(clean={}), sources)) == (4, 0, 2, 2)
    vectors, mask = store.read(HashedTextEncoder(clean={}), sources)
    np.testing.assert_array_equal(mask, [False, True, False, True])
    np.testing.assert_array_equal(vectors[~mask], 0.0)
    np.testing.assert_allclose(vectors[1], vectors[3], atol=1e-6)
    # As it is, markup is text too.
    assert counts(store.embed(HashedTextEncoder(), sources)) == (4, 4, 0, 0)
    # A vector of nothing that an earlier version stored is not found: it judged texts as they are.
    encoder = HashedTextEncoder(clean={})
    assert encoder.identity()["judged"] == "cleaned" and "judged" not in HashedTextEncoder().identity()
    assert "judged" not in encoder.get_config()


def test_nothing_is_written_until_it_is_needed(tmp_path):
    store = FeatureStore(tmp_path / "store")
    assert store.status() == {"folder": str(tmp_path / "store"), "encoders": []}
    assert counts(store.embed(Lengths(), [None, ""])) == (2, 0, 0, 2)
    vectors, mask = store.read(Lengths(), [None])
    assert vectors.shape == (1, 2) and not mask.any()
    assert store.read(Lengths(), [])[0].shape == (0, 2)
    assert not (tmp_path / "store").exists()


def test_only_what_changed_is_computed(tmp_path):
    sources = [f"item {i}" for i in range(10)] + ["bad one"]
    FeatureStore(tmp_path).embed(Lengths(), sources)
    encoder = Lengths()
    assert counts(FeatureStore(tmp_path).embed(encoder, sources)) == (11, 0, 10, 1)
    assert encoder.decoded == [] and encoder.traces == 0
    changed = ["item zero", *sources[1:], "item 10"]
    assert counts(FeatureStore(tmp_path).embed(encoder, changed)) == (12, 2, 9, 1)
    assert encoder.decoded == ["item zero", "item 10"]
    assert counts(FeatureStore(tmp_path).embed(Lengths(version=2), sources)) == (11, 10, 0, 1)


def test_batches_have_one_shape(tmp_path):
    encoder = Lengths(batch_size=4)
    FeatureStore(tmp_path).embed(encoder, ["bad", *(f"item {i}" for i in range(10)), "bad too"])
    assert encoder.shapes == [[None]]


def test_many_undecodable_items_in_a_row(tmp_path):
    encoder = Lengths(batch_size=2)
    sources = ["a", *(f"bad {i}" for i in range(40)), "bcd"]
    assert counts(FeatureStore(tmp_path).embed(encoder, sources)) == (42, 2, 0, 40)
    vectors, mask = FeatureStore(tmp_path).read(encoder, sources)
    np.testing.assert_array_equal(vectors[[0, -1], 0], [1, 3])
    assert mask.sum() == 2


def test_item_never_embedded(tmp_path):
    store = FeatureStore(tmp_path)
    store.embed(Lengths(), ["a"])
    with pytest.raises(EncoderError, match="1 of 2 items have no entry.*position 1.*mmrec embed"):
        store.read(Lengths(), ["a", "new"])


def test_a_vector_that_is_not_finite_names_its_position_and_spares_the_rest(tmp_path):
    encoder = Lengths(batch_size=2)
    with pytest.raises(EncoderError, match="Lengths gave a vector that is not finite for the item at position 3"):
        FeatureStore(tmp_path).embed(encoder, ["a", "bb", "bad", "nan", "c"])
    np.testing.assert_array_equal(FeatureStore(tmp_path).read(encoder, ["a", "bb"])[0][:, 0], [1, 2])


def test_a_vector_that_is_not_finite_names_its_items_id(tmp_path):
    with pytest.raises(EncoderError, match="not finite for item 'sku-4'. Check that item's text"):
        FeatureStore(tmp_path).embed(Lengths(), ["a", "bb", "nan"], ids=["sku-1", "sku-2", "sku-4"])
    # float16 ends at 65,504.
    with pytest.raises(EncoderError, match="too large for float16 for item 'sku-2'. Store its vectors as float32"):
        FeatureStore(tmp_path).embed(Lengths(), ["a", "b" * 70_000], dtype="float16", ids=["sku-1", "sku-2"])


def test_a_vector_of_another_width_is_refused(tmp_path):
    with pytest.raises(EncoderError, match=r"gave \[1, 2\] for a batch of 1; its `dim` promises \[1, 3\]"):
        FeatureStore(tmp_path).embed(Lengths(dim=3), ["a"])


def test_damaged_chunks_are_ignored_with_a_warning_and_computed_anew(tmp_path):
    sources = [f"{'x' * i}" for i in range(1, 13)]
    FeatureStore(tmp_path).embed(Lengths(), sources, chunk_rows=3)
    paths = chunks(tmp_path)
    assert len(paths) == 4
    paths[0].write_bytes(paths[0].read_bytes()[:-7])
    paths[1].write_bytes(b"")
    np.save(paths[2], np.zeros(3))
    encoder = Lengths()
    with pytest.warns(UserWarning, match="damaged") as caught:
        summary = FeatureStore(tmp_path).embed(encoder, sources)
    assert len(caught) == 3 and counts(summary) == (12, 9, 3, 0)
    for path in paths[:3]:
        path.unlink(missing_ok=True)
    np.testing.assert_array_equal(FeatureStore(tmp_path).read(encoder, sources)[0][:, 0], np.arange(1, 13))


def test_half_written_files_do_not_count(tmp_path):
    FeatureStore(tmp_path).embed(Lengths(), ["a", "bb"])
    path = chunks(tmp_path)[0]
    shutil.copy(path, path.with_name(f".{'0' * 32}.npy.123.456"))
    np.testing.assert_array_equal(FeatureStore(tmp_path).read(Lengths(), ["a", "bb"])[0][:, 0], [1, 2])
    assert FeatureStore(tmp_path).status()["encoders"][0]["vectors"] == 2


def test_chunks_and_progress(tmp_path):
    seen = []
    sources = [f"item {i}" for i in range(25)]
    store = FeatureStore(tmp_path)
    store.embed(Lengths(batch_size=4), sources, progress=lambda *step: seen.append(step), chunk_rows=10)
    assert sorted(len(np.load(path)) for path in chunks(tmp_path)) == [5, 10, 10]
    assert [done for _, done, _ in seen] == [4, 8, 12, 16, 20, 24, 25]
    assert {(description, total) for description, _, total in seen} == {("Embedding text", 25)}


def test_interruption_keeps_what_was_computed(tmp_path):
    def stop(description, done, total):
        if done >= 8:
            raise KeyboardInterrupt

    sources = [f"item {i}" for i in range(40)]
    with pytest.raises(KeyboardInterrupt):
        FeatureStore(tmp_path).embed(Lengths(batch_size=4), sources, progress=stop)
    assert FeatureStore(tmp_path).embed(Lengths(), sources).reused == 8
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name.startswith(".")]


def test_runs_are_identical(tmp_path):
    sources = [f"a text about thing number {i}" for i in range(70)]
    for name in ("one", "two"):
        FeatureStore(tmp_path / name).embed(HashedTextEncoder(batch_size=16), sources, chunk_rows=32)
    one, two = ({path.name: path.read_bytes() for path in chunks(tmp_path / name)} for name in ("one", "two"))
    assert one == two and len(one) == 3


def test_status_says_what_is_stored(tmp_path):
    store = FeatureStore(tmp_path)
    store.embed(Lengths(), ["a", "bb", "bad"])
    store.embed(HashedTextEncoder(dim=8), ["a"])
    status = {about["encoder"]: about for about in store.status()["encoders"]}
    assert set(status) == {"Lengths", "HashedTextEncoder"}
    lengths = status["Lengths"]
    assert (lengths["vectors"], lengths["undecodable"], lengths["dim"], lengths["modality"]) == (2, 1, 2, "text")
    assert lengths["fingerprint"] == Lengths().fingerprint
    directory = tmp_path / f"text-{lengths['fingerprint'][:16]}"
    assert lengths["bytes"] == sum(path.stat().st_size for path in directory.iterdir())
    assert json.loads((directory / "encoder.json").read_text())["dim"] == 2


def test_images_by_path_and_bytes_share_their_content(tmp_path):
    from PIL import Image

    for name, colour in (("red", "red"), ("copy", "red"), ("blue", "blue")):
        Image.new("RGB", (20, 20), colour).save(tmp_path / f"{name}.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG nothing")
    red = tmp_path / "red.png"
    sources = [red, tmp_path / "copy.png", red.read_bytes(), str(red), tmp_path / "broken.png", tmp_path / "none.png"]
    encoder = ImageCnnEncoder(dim=8, image_size=16)
    store = FeatureStore(tmp_path / "store")
    assert counts(store.embed(encoder, sources)) == (6, 1, 3, 2)
    vectors, mask = store.read(encoder, sources)
    np.testing.assert_array_equal(mask, [True] * 4 + [False] * 2)
    np.testing.assert_array_equal(vectors[:4], np.repeat(vectors[:1], 4, axis=0))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 1, 0, 0], atol=1e-5)
    # A file whose content changes is another item, also for a store that has seen the old one.
    shutil.copy(tmp_path / "blue.png", red)
    assert counts(store.embed(encoder, [red])) == (1, 1, 0, 0)
    assert not np.allclose(store.read(encoder, [red])[0], vectors[0])


class Photos(ImageCnnEncoder):
    """Calls `before` with each file just before it is decoded."""

    before = staticmethod(lambda path: None)

    def decode(self, source):
        self.before(source)
        return super().decode(source)


def photo(path, colour) -> Path:
    from PIL import Image

    Image.new("RGB", (20, 20), colour).save(path)
    return path


def test_a_file_that_cannot_be_read_for_a_moment_is_tried_again(tmp_path, monkeypatch):
    sources = [photo(tmp_path / f"{colour}.png", colour) for colour in ("red", "blue")]
    sources += [None, tmp_path / "broken.png"]
    sources[3].write_bytes(b"no picture")
    away, opened = set(), open

    def open_unless_away(path, *arguments, **options):
        if str(path) in map(str, away):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))
        return opened(path, *arguments, **options)

    encoder = Photos(dim=8, image_size=16)
    encoder.before = lambda path: away.add(path) if path == sources[1] else None
    store = FeatureStore(tmp_path / "store")
    with monkeypatch.context() as patch:
        # The blue photo goes after it was hashed, and before it is decoded.
        patch.setattr("builtins.open", open_unless_away)
        with pytest.warns(UserWarning, match=f"files of 1 of 4 items cannot be read, .*the first {sources[1]}"):
            summary = store.embed(encoder, sources)
        assert (*counts(summary), summary.undecodable, summary.unreadable) == (4, 1, 0, 3, 1, 1)
        assert store.read(encoder, sources)[1].tolist() == [True, False, False, False]
        # Now it cannot even be hashed.
        with pytest.warns(UserWarning, match="cannot be read"):
            again = FeatureStore(tmp_path / "store").embed(encoder, sources)
        assert (again.computed, again.undecodable, again.unreadable) == (0, 1, 1)
    encoder.before = lambda path: None
    for reader in (store, FeatureStore(tmp_path / "store")):
        summary = reader.embed(encoder, sources)
        assert (summary.absent, summary.undecodable, summary.unreadable) == (2, 1, 0)
        assert reader.read(encoder, sources)[1].tolist() == [True, True, False, False]


def test_a_file_that_is_replaced_after_it_was_hashed_is_hashed_again(tmp_path):
    path, other = photo(tmp_path / "a.png", "red"), photo(tmp_path / "b.png", "blue")
    red, blue = path.read_bytes(), other.read_bytes() + b"of another length"
    plain = Photos(dim=8, image_size=16)
    reference = FeatureStore(tmp_path / "reference")
    reference.embed(plain, [red, blue])
    expected, _ = reference.read(plain, [red, blue])
    assert not np.allclose(expected[0], expected[1])

    encoder = Photos(dim=8, image_size=16)
    encoder.before = lambda source: path.write_bytes(blue)
    store = FeatureStore(tmp_path / "store")
    assert counts(store.embed(encoder, [path])) == (1, 1, 0, 0)
    np.testing.assert_allclose(store.read(encoder, [path])[0][0], expected[1], atol=1e-6)
    # What it was when it was hashed has no vector yet, least of all the other's.
    assert counts(store.embed(plain, [red, blue])) == (2, 1, 1, 0)
    np.testing.assert_allclose(store.read(plain, [red])[0][0], expected[0], atol=1e-6)


def test_a_file_that_changes_all_the_time_is_absent_and_one_that_is_touched_is_not(tmp_path):
    growing, touched = photo(tmp_path / "a.png", "red"), photo(tmp_path / "b.png", "blue")
    encoder = Photos(dim=8, image_size=16)

    def change(path):
        if path == growing:
            path.write_bytes(path.read_bytes() + b"more")
        os.utime(path, (1_000_000_000, 1_000_000_000))

    encoder.before = change
    store = FeatureStore(tmp_path / "store")
    with pytest.warns(UserWarning, match=f"1 of 2 items cannot be read, or change while.*first {growing}"):
        summary = store.embed(encoder, [growing, touched])
    assert (*counts(summary), summary.undecodable, summary.unreadable) == (2, 1, 0, 1, 0, 1)
    change(growing)
    assert store.read(encoder, [growing, touched])[1].tolist() == [False, True]


def test_two_writers_at_once(tmp_path):
    sources = [f"item {i}" for i in range(200)]
    writers = [
        threading.Thread(target=FeatureStore(tmp_path).embed, args=(Lengths(batch_size=8), order, None, 20))
        for order in (sources, sources[::-1], sources)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    vectors, mask = FeatureStore(tmp_path).read(Lengths(), sources)
    assert mask.all()
    np.testing.assert_array_equal(vectors[:, 0], [len(source) for source in sources])


def test_kill_loses_at_most_one_chunk(tmp_path):
    script = """
        import sys, time
        import mmrec_tf
        import tensorflow as tf
        from pathlib import Path
        from mmrec_tf.encoders.hashed_text import HashedTextEncoder
        from mmrec_tf.features.feature_store import FeatureStore

        class Slow(HashedTextEncoder):
            def decode(self, source):
                time.sleep(0.002)
                return source

        def progress(description, done, total):
            print(done, flush=True)

        FeatureStore(Path(sys.argv[1])).embed(
            Slow(dim=8, batch_size=8), [f"item {i}" for i in range(4000)], progress=progress, chunk_rows=50
        )
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for line in process.stdout:
        if int(line) >= 400:
            os.kill(process.pid, signal.SIGKILL)
            break
    done = max(int(line) for line in [line, *process.stdout])
    process.wait(timeout=30)
    (directory,) = tmp_path.iterdir()
    rows = sum(len(np.load(path)) for path in directory.glob("*.npy"))
    # Batches of 8 fill a chunk of 50 to 49 rows at most; the batch after the last report may be in it.
    assert done - 50 < rows <= done + 50
