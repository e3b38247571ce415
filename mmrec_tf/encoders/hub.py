"""Pretrained modules in TF-Hub's format, from a URL or a local directory, as encoders."""

import tensorflow as tf
import tf_keras

from mmrec_tf.config_encoders import CleaningConfig
from mmrec_tf.encoders.base import Encoder, normalised
from mmrec_tf.encoders.hub_audio import AudioCall, FramedWaveformCall, WaveformCall, WaveformsCall
from mmrec_tf.encoders.hub_interfaces import ImageCall, ModuleCall, TextCall, TokenCall, VideoCall
from mmrec_tf.encoders.hub_loading import CALL_ERRORS, brief, content_of, declared_input, load_module
from mmrec_tf.encoders.module_interface import ModuleInterface
from mmrec_tf.encoders.readers import AudioReader, ImageReader, TextReader, VideoReader
from mmrec_tf.errors import EncoderError

_DEFAULT_IMAGE_SIZE = 224
_DEFAULT_SECONDS = 10.0
_DEFAULT_FRAMES = 16
_MODALITIES = ("text", "image", "audio", "video")


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class HubEncoder(Encoder):
    """Turns text, images, sound or videos into vectors with a pretrained module in TF-Hub's format.

    The module is called the way its kind is published:

    - image: `[batch, size, size, 3]` float32, giving `[batch, dim]`;
    - text: `[batch]` strings, or, with a preprocessor, the dict of token tensors that the preprocessor makes of them;
    - audio: `[batch, samples]` float32, or one waveform `[samples]` at a time, giving a vector, or one per frame, as
      YAMNet, VGGish and wav2vec2 do; a clip's vector is then the mean of its frames;
    - video: `[batch, frames, size, size, 3]` float32, giving `[batch, dim]`.

    Of several outputs, `output_key` is taken, else `default`, else the first that is a vector; of YAMNet's three the
    embeddings. Vectors are scaled to length 1. What the module's graph does not say of its input is in `interface`;
    `mmrec_tf.encoders.named` has it for published modules.

    Args:
        modality: str. `text`, `image`, `audio` or `video`.
        handle: str. URL of the module, or its directory.
        preprocessor: str. URL or directory of the text module's preprocessor.
        output_key: str. Name (or position) of the output that is the vector.
        image_size: int. Pixels of the square image or frame; by default what the module declares, or 224.
        sample_rate: int. Hz of the waveform. Defaults to 16000.
        seconds: float. Window of a clip that is heard at a time; by default what the module declares, or 10.
        windows: int. The most windows of a clip; their vectors are averaged. Defaults to 1.
        loudness: float. Level in LUFS that clips are brought to; as they are when None.
        trim_silence: bool. Take out silence at both ends of a clip. Defaults to False.
        frames: int. Frames of a video; by default what the module declares, or 16.
        sampling: str. Which frames: `uniform`, `keyframes` or `scenes`. Defaults to `uniform`.
        max_tokens: int. Word pieces of a text that are read; the preprocessor's own number when None.
        clean: `CleaningConfig`. What is done to texts first.
        interface: `ModuleInterface`, or its dict. What the module's page says of its input.
        batch_size: int. Items that the feature store encodes at a time. Defaults to 64.
        trainable: bool. Whether the module's weights are trained with the model around it. Defaults to False.

    Raises:
        EncoderError: if the module cannot be found, reached, loaded, called or, where it is to be, trained, or returns
            no vector.

    Reference: https://www.tensorflow.org/hub/common_saved_model_apis
    """

    revision = 2

    def __init__(
        self,
        modality: str,
        handle: str,
        preprocessor: str | None = None,
        output_key: str | None = None,
        image_size: int | None = None,
        sample_rate: int = 16000,
        seconds: float | None = None,
        windows: int = 1,
        loudness: float | None = None,
        trim_silence: bool = False,
        frames: int | None = None,
        sampling: str = "uniform",
        max_tokens: int | None = None,
        clean: CleaningConfig | dict | None = None,
        interface: ModuleInterface | dict | None = None,
        batch_size: int = 64,
        trainable: bool = False,
        **kwargs,
    ):
        super().__init__(batch_size=batch_size, trainable=trainable, **kwargs)
        if modality not in _MODALITIES:
            raise EncoderError(f"a hub encoder takes {', '.join(_MODALITIES)}, not {modality!r}.")
        if preprocessor and modality != "text":
            raise EncoderError(f"the {modality} module {handle} takes no preprocessor; only text modules do.")
        if max_tokens and not preprocessor:
            raise EncoderError(
                f"the module {handle} splits texts into tokens by itself, so `max_tokens` has no effect on it. Set "
                "`clean: {max_words: N}`, or name a preprocessor."
            )
        if sampling == "shots":
            raise EncoderError(
                f"the {modality} module {handle} takes frames sampled uniformly, by keyframes or by scenes; "
                "sampling by shots is for the encoder `frames`."
            )
        self.modality = modality
        self.handle = str(handle)
        self.preprocessor = str(preprocessor) if preprocessor else None
        self.output_key = output_key
        self.image_size, self.frames, self.sampling = image_size, frames, sampling
        self.sample_rate, self.seconds, self.windows = sample_rate, seconds, windows
        self.loudness, self.trim_silence = loudness, trim_silence
        self.max_tokens = max_tokens
        self.clean = CleaningConfig.model_validate(clean) if clean is not None else None
        self.interface = ModuleInterface.of(interface)
        self.preprocess = load_module(self.preprocessor) if self.preprocessor else None
        self.module = load_module(self.handle, trainable=trainable, signature=self.interface.signature)
        self._module_call = self._probed({"text": self._text, "image": self._image, "video": self._video}.get(modality))
        self.reader = self._module_call.reader

    def prepare(self, batch, static_shape=False):
        return self._module_call.prepare(batch, static_shape)

    def encode(self, prepared, training=False):
        vectors = self._module_call.vectors(prepared, training)
        return normalised(tf.ensure_shape(vectors, [None, self.dim]))

    def _text(self) -> ModuleCall:
        reader = TextReader(self.clean)
        if self.preprocess is None:
            return self._calling(TextCall, reader)
        call = self._calling(TokenCall, reader, preprocess=self.preprocess, max_tokens=self.max_tokens)
        self.max_tokens = call.max_tokens
        return call

    def _image(self) -> ModuleCall:
        _, (_, declared, _, _) = declared_input(self.module, rank=4)
        self.image_size = self.image_size or declared or _DEFAULT_IMAGE_SIZE
        return self._calling(ImageCall, ImageReader(self.image_size))

    def _video(self) -> ModuleCall:
        key, (_, frames, size, _, _) = declared_input(self.module, rank=5)
        self.image_size = self.image_size or size or _DEFAULT_IMAGE_SIZE
        self.frames = self.frames or frames or _DEFAULT_FRAMES
        if self.interface.input_key is None and key is not None:
            self.interface = ModuleInterface.of({**self.interface.to_dict(), "input_key": key})
        return self._calling(VideoCall, VideoReader(self.frames, self.image_size, self.sampling, fixed=True))

    def _audio(self) -> AudioCall:
        length = self.interface.samples
        if not self.interface.one_waveform:
            length = length or declared_input(self.module, rank=2)[1][1]
        longest = length / self.sample_rate if length else None
        self.seconds = self.seconds or longest or _DEFAULT_SECONDS
        reader = AudioReader(self.sample_rate, self.seconds, self.windows, self.loudness, self.trim_silence)
        if length and reader.window > length:
            raise EncoderError(
                f"the module {self.handle} takes {length} samples, {longest:g} s at {self.sample_rate} Hz; a window of "
                f"{self.seconds:g} s is longer. Set `seconds` to {longest:g} or less, and `windows` to hear more."
            )
        if self.interface.one_waveform:
            is_framed = self.interface.frame_length and self.interface.frame_hop
            return self._calling(FramedWaveformCall if is_framed else WaveformCall, reader)
        return self._calling(WaveformsCall, reader, length=length)

    def _calling(self, kind: type[ModuleCall], reader, **options) -> ModuleCall:
        return kind(self.module, self.handle, self.output_key, self.interface, reader, **options)

    def _probed(self, make) -> ModuleCall:
        """The way to call the module, tried on an example."""
        call = (make or self._audio)()
        try:
            try:
                self.dim = call.probe()
            except CALL_ERRORS:
                if not isinstance(call, WaveformsCall):
                    raise
                # What takes no batch of waveforms may take one at a time.
                call = self._calling(WaveformCall, call.reader)
                self.dim = call.probe()
        except CALL_ERRORS as error:
            raise EncoderError(
                f"the module {self.handle} does not take {call.takes}: {brief(error)} {call.remedy}"
            ) from error
        return call

    def fingerprinted_weights(self):
        return self.weights if self.trainable else []

    def identity(self) -> dict:
        identity = {
            "encoder": type(self).__name__,
            "revision": self.revision,
            "modality": self.modality,
            "module": content_of(self.handle),
            "output_key": self.output_key,
            "interface": self.interface.to_dict(),
            **self._module_call.identity(),
        }
        if self.preprocessor:
            identity["preprocessor"] = content_of(self.preprocessor)
        return identity

    def get_config(self):
        names = ("modality", "handle", "preprocessor", "output_key", "image_size", "sample_rate", "seconds", "windows")
        names += ("loudness", "trim_silence", "frames", "sampling", "max_tokens")
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in names},
            "clean": self.clean.model_dump() if self.clean else None,
            "interface": self.interface.to_dict(),
        }
