"""Which of the tensors that a module returns is the item's vector."""

import tensorflow as tf

from mmrec_tf.errors import EncoderError

_YAMNET_EMBEDDINGS = "1"
_SHAPES = {(2,): "[batch, dim]", (2, 3): "[batch, dim] or [batch, steps, dim]", (1, 2): "[dim] or [frames, dim]"}


def pick_vector(outputs, ranks: tuple[int, ...], output_key: str | None, module: str) -> tf.Tensor:
    """The output that holds the vectors, as float32.

    Args:
        outputs: a tensor, or a dict or tuple of tensors.
        ranks: numbers of dimensions that a vector output may have; `(1, 2)` stands for a module that takes one
            waveform and returns a vector, or one per frame, `(2, 3)` for one that may return a vector per step.
        output_key: the output's name, or its position in a tuple, if the user has chosen one.
        module: the module's handle, for the message.

    Raises:
        EncoderError: if there is none, listing what the module returns.
    """
    named = _named(outputs)
    if output_key is not None:
        if output_key not in named:
            raise EncoderError(
                f"the module {module} has no output {output_key!r}. It returns {_listed(named)}: set `output_key` to "
                "one of these."
            )
        candidates = [output_key]
    else:
        candidates = [*(["default"] if "default" in named else []), *named]
        if 1 in ranks and isinstance(outputs, (tuple, list)) and len(outputs) == 3:
            # YAMNet's published outputs: class scores, embeddings, spectrogram; all have the shape of a vector.
            candidates.insert(0, _YAMNET_EMBEDDINGS)
    for name in candidates:
        if _is_vector(named[name], ranks):
            return tf.cast(named[name], tf.float32)
    raise EncoderError(
        f"the module {module} returns no usable vector, but {_listed(named)}. A vector output is a float tensor "
        f"{_SHAPES[ranks]}; look for a module published as a feature vector or embedding, or name another output by "
        "`output_key`."
    )


def _named(outputs) -> dict[str, tf.Tensor]:
    if isinstance(outputs, dict):
        return {name: outputs[name] for name in sorted(outputs)}
    if isinstance(outputs, (tuple, list)):
        return {str(position): value for position, value in enumerate(outputs)}
    return {"the output": outputs}


def _is_vector(value, ranks) -> bool:
    return tf.is_tensor(value) and value.dtype.is_floating and value.shape.rank in ranks and bool(value.shape[-1])


def _listed(named: dict) -> str:
    def described(value) -> str:
        return f"{value.dtype.name} {list(value.shape)}" if isinstance(value, tf.Tensor) else type(value).__name__

    return ", ".join(f"{name} {described(value)}" for name, value in named.items()) or "nothing"
