"""Builds small modules in TF-Hub's format, with the interfaces of the published ones and random weights.

They stand in for modules that must be downloaded: tests load them, and so can you, to see that a configuration works
before the internet does.

    python tools/make_hub_module.py yamnet DIR
    python tools/make_hub_module.py image DIR --dim 16

The first argument is a named encoder, whose inputs, outputs and widths the module then has (a text module's
preprocessor is written beside it, to DIR-preprocessor), or a kind of module: `image` (feature vector), `text` (strings
in), `audio` (batch of waveforms in).
"""

import os
import sys

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmrec_tf.encoders.named import NAMED
from tools.hub_module_kinds import (
    make_audio_module,
    make_bert_modules,
    make_i3d_module,
    make_image_module,
    make_movinet_module,
    make_text_module,
    make_vggish_module,
    make_wav2vec2_module,
    make_yamnet_module,
)

_KINDS = {"image": make_image_module, "text": make_text_module, "audio": make_audio_module}
# The published sizes that are fixed; these modules take any other too: inception_v3, efficientnet_b0.
_FIXED_IMAGE_SIZES = {"resnet_50": 224, "mobilenet_v2": 224, "vit_b16": 224}


def make_named_module(name: str, path: Path, seed: int = 0) -> Path:
    """A small module with the interface of a named encoder: inputs, outputs, keys, widths, types, fixed lengths."""
    dim = NAMED[name].dim
    path = Path(path)
    if NAMED[name].preprocessor:
        return make_bert_modules(path, path.with_name(path.name + "-preprocessor"), dim, seed=seed)[0]
    if name == "yamnet":
        return make_yamnet_module(path, dim, classes=521, seed=seed)
    makers = {
        "vggish": make_vggish_module,
        "wav2vec2": make_wav2vec2_module,
        "i3d": make_i3d_module,
        "movinet_a0": make_movinet_module,
    }
    if name in makers:
        return makers[name](path, dim, seed=seed)
    if NAMED[name].modality == "text":
        return make_text_module(path, dim, seed=seed)
    return make_image_module(path, dim, image_size=_FIXED_IMAGE_SIZES.get(name), seed=seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=sorted({*_KINDS, *NAMED}), metavar="NAME", help="a named encoder, or a kind")
    parser.add_argument("path", type=Path, help="directory to write")
    parser.add_argument("--dim", type=int, default=16, help="width of the vector, for a kind (default: 16)")
    arguments = parser.parse_args()
    if arguments.kind in _KINDS:
        _KINDS[arguments.kind](arguments.path, dim=arguments.dim)
    else:
        make_named_module(arguments.kind, arguments.path)
    print(arguments.path)


if __name__ == "__main__":
    main()
