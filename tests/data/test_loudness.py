import numpy as np
import pytest

from mmrec_tf.data.loudness import brought_to, integrated_loudness, weighted
from tests.media_files import tone


@pytest.mark.parametrize(("rate", "tolerance"), [(48000, 0.005), (44100, 0.005), (16000, 0.06), (8000, 0.25)])
def test_the_standard_s_reference_tone(rate, tolerance):
    # BS.1770: a 997 Hz sine at full scale in one channel reads -3.01 LKFS. At low rates the shelf of the digital filter
    # is bent where it comes near half the rate.
    assert integrated_loudness(tone(5.0, rate, 997.0, level=1.0), rate) == pytest.approx(-3.01, abs=tolerance)
    # Half the level is 20 log10(2) = 6.02 dB less.
    assert integrated_loudness(tone(5.0, rate, 997.0), rate) == pytest.approx(-9.03, abs=tolerance)


def test_filters_have_the_coefficients_that_the_standard_prints():
    # The two filters of BS.1770-4, tables 1 and 2, for 48 kHz; their impulse responses in a row.
    from scipy.signal import lfilter

    impulse = np.zeros(200)
    impulse[0] = 1.0
    shelf = lfilter(
        [1.53512485958697, -2.69169618940638, 1.19839281085285], [1, -1.69065929318241, 0.73248077421585], impulse
    )
    expected = lfilter([1.0, -2.0, 1.0], [1, -1.99004745483398, 0.99007225036621], shelf)
    np.testing.assert_allclose(weighted(impulse, 48000), expected, atol=1e-7)


def test_pauses_do_not_count():
    loud, pause = tone(4.0, 48000, 997.0, level=0.1), np.zeros(48000 * 4, np.float32)
    # 0.1 is -20 dB: -23.01 LUFS. Every 100 ms, 37 blocks of 400 ms are all tone, three hold 3/4, 1/2 and 1/4 of it:
    # 10 log10(38.5 / 40) = -0.17 dB.
    assert integrated_loudness(np.concatenate([loud, pause]), 48000) == pytest.approx(-23.18, abs=0.01)
    # A background 30 dB lower is left out by the relative gate, where the plain mean would give 3 dB less.
    background = tone(4.0, 48000, 997.0, level=0.1 * 10**-1.5)
    assert integrated_loudness(np.concatenate([loud, background]), 48000) == pytest.approx(-23.18, abs=0.02)


def test_short_and_silent_clips():
    # 0.2 s is less than a block of 0.4 s; the filters' settling costs a little.
    assert integrated_loudness(tone(0.2, 48000, 997.0, level=1.0), 48000) == pytest.approx(-3.01, abs=0.1)
    assert integrated_loudness(np.zeros(48000), 48000) == -np.inf
    assert integrated_loudness(np.zeros(0), 48000) == -np.inf
    # At 2 kHz there is no room for the shelf: what is left is 20 log10(0.5) - 3.01 - 0.69.
    assert integrated_loudness(tone(5.0, 2000, 400.0), 2000) == pytest.approx(-9.72, abs=0.1)


def test_gain_stops_where_the_peak_is_one():
    wave = tone(2.0, 16000, 997.0, level=0.1)
    # From -23.01 to -17 LUFS is 6.01 dB: about twice.
    np.testing.assert_allclose(brought_to(wave, 16000, -17.0), wave * 10 ** (6.01 / 20), rtol=0.006)
    np.testing.assert_allclose(brought_to(wave, 16000, 0.0), wave / np.abs(wave).max(), rtol=1e-5)
    np.testing.assert_array_equal(brought_to(np.zeros(100, np.float32), 16000, -23.0), 0.0)
