"""How a published module takes its input, where the module itself does not say."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class ModuleInterface:
    """What a module's page says of its input and its graph does not.

    Attributes:
        value_range: what black and white pixels are to the module; `(0.0, 1.0)` is TF-Hub's convention.
        input_key: key of the dict that the module takes its tensor in; none by default.
        signature: the signature to call, for modules in TF-Hub's format of TensorFlow 1.
        one_waveform: bool. The module takes one waveform `[samples]`, not a batch of them.
        samples: length that waveforms must have; any by default.
        standardised: bool. Each clip is brought to mean 0 and variance 1 first.
        frame_length: samples that a frame of a waveform's output covers.
        frame_hop: samples from one frame's beginning to the next one's. Of a module that takes one waveform and
            declares both, many clips can be encoded in one call.
        fills_up: bool. The module fills a waveform up with zeros to a whole number of frames, so that its last frame
            may lie partly behind the end; otherwise it gives whole frames only.
    """

    value_range: tuple[float, float] = (0.0, 1.0)
    input_key: str | None = None
    signature: str | None = None
    one_waveform: bool = False
    samples: int | None = None
    standardised: bool = False
    frame_length: int | None = None
    frame_hop: int | None = None
    fills_up: bool = False

    @classmethod
    def of(cls, given: "ModuleInterface | dict | None") -> "ModuleInterface":
        """An interface from what `to_dict` gave, after a way through JSON."""
        if isinstance(given, cls):
            return given
        given = dict(given or {})
        if "value_range" in given:
            given["value_range"] = tuple(given["value_range"])
        return cls(**given)

    def to_dict(self) -> dict:
        """The attributes as JSON takes them."""
        return {**asdict(self), "value_range": list(self.value_range)}
