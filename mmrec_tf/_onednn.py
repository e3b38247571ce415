"""Which kernels TensorFlow computes with on CPUs: oneDNN's, wherever the user has not decided otherwise.

By itself TensorFlow takes oneDNN only on x86 processors with AVX-512 VNNI, AVX-512 BF16 or AMX. The others can, too,
and gain: products of long, thin matrices take a third of the time there and convolutions some 60 %, wide products as
long as before, and some gradients (of grouped convolutions, which wav2vec 2.0 has) are there in no other way. Results
differ less between processors as well.
Reference: https://github.com/tensorflow/tensorflow/releases/tag/v2.9.0
"""

import os

_VARIABLE = "TF_ENABLE_ONEDNN_OPTS"


def prefer_onednn() -> None:
    """Asks for oneDNN, unless the environment says what is wanted.

    TensorFlow looks at the variable once, when it is imported; where that was before, nothing changes.
    """
    os.environ.setdefault(_VARIABLE, "1")
