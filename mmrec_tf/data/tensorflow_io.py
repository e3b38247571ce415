"""tensorflow-io where it is installed, and whether its native kernels load."""

import functools
import warnings


@functools.cache
def import_tensorflow_io():
    """The tensorflow_io module, or None where it is not installed."""
    try:
        with warnings.catch_warnings():
            # With TensorFlow above 2.16 it warns, at length, that its native libraries do not load.
            warnings.simplefilter("ignore")
            import tensorflow_io
    except ImportError:
        return None
    return tensorflow_io


@functools.cache
def tensorflow_io_with_kernels():
    """The tensorflow_io module, or None where it is not installed or its native kernels do not load.

    The kernels of tensorflow-io 0.37.1 load with TensorFlow 2.16; there is no wheel for Python 3.13.
    """
    tfio = import_tensorflow_io()
    if tfio is None:
        return None
    try:
        tfio.audio.decode_wav(_TINY_WAV, dtype="int16")
    except NotImplementedError:
        return None
    return tfio


# One sample of silence: 16 bit, mono, 8 kHz.
_TINY_WAV = (
    b"RIFF\x26\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00"
    b"\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data\x02\x00\x00\x00\x00\x00"
)
