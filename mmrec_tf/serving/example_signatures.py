"""Which signatures suit classify and regress: calls that send `tf.Example`s, over REST and gRPC alike.

A signature suits them when its one input is `inputs` (strings, serialized examples) and its outputs are `classes` and
`scores`, or `outputs`. As in TensorFlow Serving's default (`--enable_signature_method_name_check=false`), what its
method name says is not looked at: TensorFlow 2 writes that of predict for all.

Source: tensorflow_serving/servables/tensorflow/{classifier,regressor,util}.cc
"""

import tensorflow as tf

from mmrec_tf.serving.model_version import Signature

CLASSIFY, REGRESS = "classify", "regress"

_KINDS = {CLASSIFY: "classification", REGRESS: "regression"}


def why_unsuited(method: str, signature: Signature) -> tuple[str, str] | None:
    """Why a signature does not suit a call: TensorFlow's code and a message in TensorFlow Serving's words.

    Args:
        method: str. `CLASSIFY` or `REGRESS`.
        signature: the signature.

    Returns:
        Code and message, or None where it suits.
    """
    return _why_not_the_input(signature, _KINDS[method]) or _why_not_the_outputs(method, signature.definition.outputs)


def _why_not_the_input(signature, kind):
    if len(signature.inputs) != 1:
        return "INVALID_ARGUMENT", f"Expected one input Tensor. The signature takes {_names(signature.inputs)}"
    spec = signature.inputs.get("inputs")
    if spec is None:
        message = f"No {kind} inputs found in SignatureDef: it takes {_names(signature.inputs)}, not 'inputs'"
        return "FAILED_PRECONDITION", message
    if spec.dtype != tf.string or not spec.shape.is_compatible_with([None]):
        message = f"Input 'inputs' takes {spec.dtype.name} {spec.shape}, which serialized examples are not"
        return "INVALID_ARGUMENT", message
    return None


def _why_not_the_outputs(method, outputs):
    if method == CLASSIFY:
        if len(outputs) not in (1, 2):
            return "INVALID_ARGUMENT", f"Expected one or two output Tensors, found {len(outputs)}"
        if "classes" not in outputs and "scores" not in outputs:
            message = 'Expected classification signature outputs to contain at least one of "classes" or "scores". '
            return "FAILED_PRECONDITION", f"{message}Signature gives {_names(outputs)}"
        return None
    if len(outputs) != 1:
        return "INVALID_ARGUMENT", f"Expected one output Tensor. The signature gives {_names(outputs)}"
    if "outputs" not in outputs:
        message = f"No regression outputs found in SignatureDef: it gives {_names(outputs)}, not 'outputs'"
        return "FAILED_PRECONDITION", message
    return None


def _names(names) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names))
