"""Sets of ids in little memory."""

import numpy as np
import pytest

from mmrec_tf.serving.id_sketches import DistinctIds, KnownIds, hash_ids


def names(start, end):
    return np.array([f"user{number}".encode() for number in range(start, end)], object)


def test_text_and_bytes_have_one_hash_and_nothing_has_none():
    hashes = hash_ids(np.array([[b"a", "a"], [b"", "\u00e9"]], object))
    assert len(hashes) == 3 and hashes[0] == hashes[1] != hashes[2]
    assert hash_ids(np.array([], object)).tolist() == []


def test_hashes_are_the_same_on_every_machine():
    # FarmHash's 64-bit fingerprint of "a".
    assert hash_ids(np.array(["a"], object)).tolist() == [12917804110809363939 % 2**62]


def test_what_was_put_in_is_known_and_little_else():
    known = KnownIds.of(names(0, 20_000))
    assert known.are_known(hash_ids(names(0, 20_000))).all()
    # (1 - e^-0.7)^7 = 0.0082, of 50,000 with a standard error of 0.0004.
    wrong = known.are_known(hash_ids(names(20_000, 70_000))).mean()
    assert 0.0066 < wrong < 0.0098
    assert len(known.bits) == 25_000
    assert b"user7" in known and "user7" in known


def test_a_set_survives_as_text():
    known = KnownIds.of(names(0, 100))
    np.testing.assert_array_equal(KnownIds.from_text(known.to_text()).bits, known.bits)
    assert "user" not in known.to_text()
    for text in ("", "no base64!"):
        with pytest.raises(ValueError):
            KnownIds.from_text(text)


@pytest.mark.parametrize("count", [1, 100, 5_000, 50_000])
def test_distinct_ids_are_counted(count):
    met = DistinctIds(50_000)
    for _ in range(3):
        met.add(hash_ids(names(0, count)))
    assert met.count == pytest.approx(count, rel=0.02, abs=0.5)


def test_sets_join_and_do_not_grow():
    one, other = DistinctIds(1000), DistinctIds(1000)
    one.add(hash_ids(names(0, 600)))
    other.add(hash_ids(names(400, 1000)))
    one.join(other)
    assert one.count == pytest.approx(1000, rel=0.03)
    assert len(one.met) == 1024 and len(DistinctIds(10**9).met) == 2**20
    # More ids than bits: an estimate still, and no error.
    one.add(hash_ids(names(0, 100_000)))
    assert np.isfinite(one.count)
