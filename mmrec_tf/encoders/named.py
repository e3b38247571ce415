"""Published modules by name, as their pages describe them: `encoders: {text: bert}` in a configuration is one of these.

Declarations only; nothing is downloaded before an encoder is built. Each says how the module takes its input, which is
tested against a small module of the same interface (`tools/make_hub_module.py`). TF-Hub's pages name a licence only
where it is not Apache-2.0 (https://www.tensorflow.org/hub/writing_documentation).
"""

from dataclasses import dataclass

from mmrec_tf.encoders.module_interface import ModuleInterface

_RATE = 16000


@dataclass(frozen=True)
class NamedEncoder:
    """A published module.

    Attributes:
        name: what the configuration calls it.
        modality: `text`, `image`, `audio` or `video`.
        handle: URL of the module.
        takes: its input, with shape, type and units.
        gives: its output.
        dim: width of the vector.
        reference: the paper.
        preprocessor: URL of the module that makes its input of texts.
        output_key: which of its outputs is the vector; where there is but one, None.
        interface: what its page says of its input and its graph does not.
        image_size: pixels of an image's or a frame's side.
        sample_rate: Hz.
        seconds: window of a clip that is heard at a time.
        frames: frames of a video.
        batch_size: items encoded at a time; few where one takes much memory.
        is_tunable: bool. Whether it was published with weights that can be trained.
        licence: of the weights.
    """

    name: str
    modality: str
    handle: str
    takes: str
    gives: str
    dim: int
    reference: str
    preprocessor: str | None = None
    output_key: str | None = None
    interface: ModuleInterface = ModuleInterface()
    image_size: int | None = None
    sample_rate: int | None = None
    seconds: float | None = None
    frames: int | None = None
    batch_size: int = 64
    is_tunable: bool = True
    licence: str = "Apache-2.0"

    def settings(self) -> dict:
        """What `HubEncoder` takes of it, besides the handles."""
        names = ("output_key", "interface", "image_size", "sample_rate", "seconds", "frames", "batch_size")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


_BERT = {
    "modality": "text",
    "takes": "dict of int32 [batch, tokens]: input_word_ids, input_mask, input_type_ids; 128 tokens unless set",
    "gives": "dict: pooled_output [batch, 768], sequence_output [batch, tokens, 768], encoder_outputs, a list of these",
    "dim": 768,
    "output_key": "pooled_output",
    "reference": "Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding "
    "(2018)",
}


def _image(name: str, handle: str, dim: int, size: int, reference: str, low: float = 0.0) -> NamedEncoder:
    return NamedEncoder(
        name=name,
        modality="image",
        handle=handle,
        takes=f"[batch, {size}, {size}, 3] float32 RGB in [{low:g}, 1]",
        gives=f"[batch, {dim}]",
        dim=dim,
        reference=reference,
        interface=ModuleInterface(value_range=(low, 1.0)),
        image_size=size,
    )


_DECLARED = (
    NamedEncoder(
        name="bert",
        handle="https://tfhub.dev/tensorflow/bert_en_uncased_L-12_H-768_A-12/4",
        preprocessor="https://tfhub.dev/tensorflow/bert_en_uncased_preprocess/3",
        **_BERT,
    ),
    NamedEncoder(
        name="bert_multilingual",
        handle="https://tfhub.dev/tensorflow/bert_multi_cased_L-12_H-768_A-12/4",
        preprocessor="https://tfhub.dev/tensorflow/bert_multi_cased_preprocess/3",
        **_BERT,
    ),
    NamedEncoder(
        name="universal_sentence_encoder",
        modality="text",
        handle="https://tfhub.dev/google/universal-sentence-encoder/4",
        takes="[batch] strings, English, of any length",
        gives="[batch, 512]",
        dim=512,
        reference="Cer et al., Universal Sentence Encoder (2018)",
    ),
    _image(
        "inception_v3",
        "https://tfhub.dev/google/imagenet/inception_v3/feature_vector/5",
        dim=2048,
        size=299,
        reference="Szegedy et al., Rethinking the Inception Architecture for Computer Vision (2015)",
    ),
    _image(
        "resnet_50",
        "https://tfhub.dev/tensorflow/resnet_50/feature_vector/1",
        dim=2048,
        size=224,
        reference="He et al., Deep Residual Learning for Image Recognition (2015)",
    ),
    _image(
        "mobilenet_v2",
        "https://tfhub.dev/google/imagenet/mobilenet_v2_100_224/feature_vector/5",
        dim=1280,
        size=224,
        reference="Sandler et al., Inverted Residuals and Linear Bottlenecks (2018)",
    ),
    _image(
        "efficientnet_b0",
        "https://tfhub.dev/tensorflow/efficientnet/b0/feature-vector/1",
        dim=1280,
        size=224,
        reference="Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks (2019)",
    ),
    _image(
        "vit_b16",
        "https://tfhub.dev/sayakpaul/vit_b16_fe/1",
        dim=768,
        size=224,
        reference="Dosovitskiy et al., An Image is Worth 16x16 Words (2020); Steiner et al., How to train your ViT? "
        "(2021)",
        low=-1.0,
    ),
    NamedEncoder(
        name="yamnet",
        modality="audio",
        handle="https://tfhub.dev/google/yamnet/1",
        takes="one waveform [samples] float32 in [-1, 1], mono at 16 kHz",
        gives="tuple: scores [frames, 521], embeddings [frames, 1024], log-mel spectrogram [steps, 64]; a frame hears "
        "0.96 s of spectrogram, one every 0.48 s, the last filled up with silence",
        dim=1024,
        output_key="1",
        # 96 steps of 10 ms, of which the last hears 25 ms, are 0.975 s of waveform.
        interface=ModuleInterface(one_waveform=True, frame_length=15600, frame_hop=7680, fills_up=True),
        sample_rate=_RATE,
        is_tunable=False,
        reference="https://github.com/tensorflow/models/tree/master/research/audioset/yamnet",
    ),
    NamedEncoder(
        name="vggish",
        modality="audio",
        handle="https://tfhub.dev/google/vggish/1",
        takes="one waveform [samples] float32 in [-1, 1], mono at 16 kHz",
        gives="[frames, 128]; a frame hears 0.96 s of spectrogram, one behind the other, whole ones only",
        dim=128,
        interface=ModuleInterface(one_waveform=True, frame_length=15600, frame_hop=15360),
        sample_rate=_RATE,
        is_tunable=False,
        reference="Hershey et al., CNN Architectures for Large-Scale Audio Classification (2017)",
    ),
    NamedEncoder(
        name="wav2vec2",
        modality="audio",
        handle="https://tfhub.dev/vasudevgupta7/wav2vec2/1",
        takes="[batch, 246000] float32, mono at 16 kHz, each clip with mean 0 and variance 1, then zeros",
        gives="[batch, 768, 768]: a vector for every 20 ms, which hears 25 ms",
        dim=768,
        # The feature encoder's convolutions have a stride of 320 samples and a receptive field of 400.
        interface=ModuleInterface(samples=246000, standardised=True, frame_length=400, frame_hop=320),
        sample_rate=_RATE,
        seconds=246000 / _RATE,
        batch_size=8,
        reference="Baevski et al., wav2vec 2.0: A Framework for Self-Supervised Learning of Speech Representations "
        "(2020)",
    ),
    NamedEncoder(
        name="i3d",
        modality="video",
        handle="https://tfhub.dev/deepmind/i3d-kinetics-400/1",
        takes="[batch, frames, 224, 224, 3] float32 RGB in [0, 1]; trained on 64 frames at 25 a second",
        gives="[batch, 400]: logits of the actions of Kinetics-400",
        dim=400,
        output_key="default",
        interface=ModuleInterface(signature="default"),
        image_size=224,
        frames=64,
        batch_size=2,
        is_tunable=False,
        reference="Carreira and Zisserman, Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset (2017)",
    ),
    NamedEncoder(
        name="movinet_a0",
        modality="video",
        handle="https://tfhub.dev/tensorflow/movinet/a0/base/kinetics-600/classification/3",
        takes="dict: image [batch, frames, 172, 172, 3] float32 RGB in [0, 1]; trained on 50 frames at 5 a second",
        gives="[batch, 600]: logits of the actions of Kinetics-600",
        dim=600,
        interface=ModuleInterface(input_key="image"),
        image_size=172,
        frames=50,
        batch_size=4,
        reference="Kondratyuk et al., MoViNets: Mobile Video Networks for Efficient Video Recognition (2021)",
    ),
)
NAMED: dict[str, NamedEncoder] = {declared.name: declared for declared in _DECLARED}
