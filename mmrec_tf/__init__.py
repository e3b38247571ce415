"""mmrec_tf: multimodal recommenders in TensorFlow, from tables and media to a served model.

Importing the package selects legacy Keras (Keras 2, the `tf_keras` package) for the whole process, because TensorFlow
Recommenders needs it. TensorFlow itself is imported only when something that uses it is.
"""

from mmrec_tf._keras import ensure_legacy_keras

ensure_legacy_keras()

__version__ = "0.1.0"
