"""A run's directory: the one artifact that training leaves and every later command reads.

    config.yaml  schema.yaml        what was asked for
    validation.json                 what was wrong with the data and what was done about it
    metrics.json  history.json      what was measured
    report.html                     the same for people
    features/{users,items}/         feature tables and vocabularies
    features/context.json           vocabularies and scales of what is known of a request
    features/encoders.json          fingerprints of the encoders that were taken as they come
    checkpoints/                    the weights of the models
    checkpoints/pretrained/         encoders that a stage of pretraining has changed
    checkpoints/encoders/           what tuning has changed in them
    items.parquet  users.parquet    what recommendations are shown with
    export/                         SavedModels for TensorFlow Serving
    export_small/                   TFLite models, and compression.json what they cost; see mmrec compress

It is written beside its final place and renamed, so that a crash leaves an earlier artifact whole.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import yaml

from mmrec_tf import __version__
from mmrec_tf.config import Config
from mmrec_tf.config_encoders import EncoderConfig, TuningConfig
from mmrec_tf.config_file import dump_config, load_config
from mmrec_tf.data.columns import parse_ids, parse_text
from mmrec_tf.data.rec_data import RecData
from mmrec_tf.data.tables import read_table
from mmrec_tf.encoders.base import Encoder
from mmrec_tf.encoders.registry import build_encoder
from mmrec_tf.encoders.tuning import load_tuned, plan_tuning, save_tuned
from mmrec_tf.errors import EncoderError, RunError
from mmrec_tf.features.context_features import ContextFeatures
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.features.item_vectors import encoder_config
from mmrec_tf.features.prepared import Prepared
from mmrec_tf.folders import replacing, settled, swap_in, unfinished_folder
from mmrec_tf.models.build import build_ranker, build_two_tower
from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.two_tower import TwoTower
from mmrec_tf.pretraining.encoder_stages import encoder_to_pretrain, pretrained_features
from mmrec_tf.schema import Feature
from mmrec_tf.training.tune_encoder import Tuned

_ALL_WEIGHTS = TuningConfig(mode="full")
_FINGERPRINTS = "features/encoders.json"


class Run:
    """Reads and writes the parts of a run's directory.

    Args:
        folder: the directory.

    Raises:
        RunError: from the readers, when a part is not there.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """A finished run.

        Raises:
            RunError: if the folder is not one.
        """
        run = cls(folder)
        settled(run.folder)
        if not (run.folder / "config.yaml").is_file() or not (run.folder / "checkpoints").is_dir():
            raise RunError(f"{folder} is no finished run. Make one with: mmrec train CONFIG --out {folder}")
        return run

    @property
    def export_folder(self) -> Path:
        return self.folder / "export"

    def load_config(self) -> Config:
        return load_config(self.folder / "config.yaml")

    def save_config(self, config: Config) -> None:
        (self.folder / "config.yaml").write_text(dump_config(config), encoding="utf-8")
        schema = config.features.model_dump(mode="json")
        (self.folder / "schema.yaml").write_text(yaml.safe_dump(schema, sort_keys=False), encoding="utf-8")

    def read_json(self, name: str) -> dict:
        path = self.folder / name
        if not path.is_file():
            raise RunError(f"{path} is not there. Make it with: mmrec evaluate {self.folder}")
        return json.loads(path.read_text(encoding="utf-8"))

    def write_json(self, name: str, content: dict | list) -> None:
        with replacing(self.folder / name) as path:
            path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def save_tables(self, prepared: Prepared) -> None:
        prepared.users.save(self.folder / "features" / "users")
        prepared.items.save(self.folder / "features" / "items")
        if prepared.context is not None:
            prepared.context.save(self._context)
        catalogue = catalogue_of(prepared.data, prepared.config)
        catalogue.to_parquet(self.folder / "items.parquet", index=False)
        prepared.data.users[[prepared.data.schema.user_id]].to_parquet(self.folder / "users.parquet", index=False)

    def load_tables(self) -> tuple[FeatureTable, FeatureTable]:
        return tuple(FeatureTable.load(self.folder / "features" / side) for side in ("users", "items"))

    def load_context(self) -> ContextFeatures | None:
        """What is known of a request besides who asks; None where the run knows nothing of it."""
        return ContextFeatures.load(self._context)

    def save_models(self, retrieval: TwoTower | None, ranking: Ranker | None) -> None:
        """Writes the weights of both models; None leaves what is there."""
        folder = self.folder / "checkpoints"
        folder.mkdir(exist_ok=True)
        for name, model in (("retrieval", retrieval), ("ranking", ranking)):
            if model is not None:
                model.save_weights(str(folder / f"{name}.weights.h5"))

    def load_models(self, config: Config, users: FeatureTable, items: FeatureTable) -> tuple[TwoTower, Ranker | None]:
        context = self.load_context()
        retrieval = build_two_tower(config, users, items, context=context)
        self._load_weights(retrieval, "retrieval")
        if not config.models.ranking.enabled:
            return retrieval, None
        ranking = build_ranker(config, users, items, context)
        self._load_weights(ranking, "ranking")
        return retrieval, ranking

    def save_tuned(self, config: Config, tuned: dict[str, Tuned]) -> None:
        """Writes what tuning has changed, for each item feature whose encoder was tuned."""
        for name, result in tuned.items():
            save_tuned(self._encoders, name, result.plan, encoder_config(config, _feature(config, name)).tuning)

    def save_pretrained(self, encoders: dict[str, Encoder]) -> None:
        """Writes the weights of encoders that a stage of pretraining has changed, before any tuning changes them."""
        for name, encoder in encoders.items():
            save_tuned(self._pretrained, name, plan_tuning(encoder, _ALL_WEIGHTS), _ALL_WEIGHTS)

    def save_fingerprints(self, config: Config, encoders: dict[str, Encoder]) -> None:
        """Writes which encoders the vectors are from that were taken as they come; of others the weights are kept."""
        (self.folder / "features").mkdir(exist_ok=True)
        frozen = {name: encoder.fingerprint for name, encoder in encoders.items() if _is_as_it_comes(config, name)}
        self.write_json(_FINGERPRINTS, frozen)

    def load_encoder(self, config: Config, name: str) -> Encoder:
        """The encoder of an item feature as the run's vectors were made: built anew, with the weights it has learned.

        Raises:
            RunError: if the schema has no such feature.
            EncoderError: if the encoder cannot be built, gives other vectors now than the run's, or the weights are not
                there or fit another one.
        """
        feature = _feature(config, name)
        asked = encoder_config(config, feature)
        if _is_as_it_comes(config, name):
            return self._checked(build_encoder(feature, asked), asked, name)
        if name in pretrained_features(config):
            encoder = load_tuned(self._pretrained, name, encoder_to_pretrain(config, name), _ALL_WEIGHTS)
        else:
            encoder = build_encoder(feature, asked)
        return encoder if asked.tuning.mode == "frozen" else load_tuned(self._encoders, name, encoder, asked.tuning)

    def _checked(self, encoder: Encoder, asked: EncoderConfig, name: str) -> Encoder:
        # Runs of earlier versions have no fingerprints.
        known = self.read_json(_FINGERPRINTS) if (self.folder / _FINGERPRINTS).is_file() else {}
        if known.get(name, encoder.fingerprint) != encoder.fingerprint:
            place = asked.path or asked.handle
            raise EncoderError(
                f"the encoder of {name!r}, {asked.type}{f' from {place}' if place else ''}, is not the one that the "
                f"vectors of {self.folder} are from: its fingerprint was {known[name][:12]} and is "
                f"{encoder.fingerprint[:12]}, so new vectors could not be compared with them. Put back the module or "
                "the version of mmrec_tf that it was trained with, or train again with: mmrec train"
            )
        return encoder

    @property
    def _context(self) -> Path:
        return self.folder / "features" / "context.json"

    @property
    def _encoders(self) -> Path:
        return self.folder / "checkpoints" / "encoders"

    @property
    def _pretrained(self) -> Path:
        return self.folder / "checkpoints" / "pretrained"

    def load_catalogue(self) -> pd.DataFrame:
        """One row per item: `item_id`, `title`, `category`, `picture`."""
        path = self.folder / "items.parquet"
        if not path.is_file():
            raise RunError(f"{path} is not there. Train again with: mmrec train")
        return pd.read_parquet(path)

    def _load_weights(self, model, name):
        path = self.folder / "checkpoints" / f"{name}.weights.h5"
        if not path.is_file():
            raise RunError(f"{path} is not there, so the run was not finished. Train again with: mmrec train")
        try:
            model.load_weights(str(path))
        # What Keras and h5py raise for weights of another model, and for a file that is damaged.
        except (ValueError, KeyError, OSError) as error:
            raise RunError(
                f"{path} does not fit the model that this run describes: {error}. Either it is damaged, or another "
                f"version of mmrec_tf wrote it (this is {__version__}): use that one, or train again with: mmrec train"
            ) from error


def _is_as_it_comes(config: Config, name: str) -> bool:
    """Whether nothing that is trained changes the encoder."""
    is_frozen = encoder_config(config, _feature(config, name)).tuning.mode == "frozen"
    return is_frozen and name not in pretrained_features(config)


def _feature(config: Config, name: str) -> Feature:
    encoded = {feature.name: feature for feature in config.features.modalities if feature.kind != "vector"}
    if name not in encoded:
        raise RunError(f"no item feature {name!r} has an encoder. Those that have: {', '.join(encoded) or 'none'}.")
    return encoded[name]


def catalogue_of(data: RecData, config: Config) -> pd.DataFrame:
    """What people recognise an item by: title, category, picture; empty where the schema has no such thing."""
    schema = config.features
    catalogue = pd.DataFrame({"item_id": data.items[data.schema.item_id]})
    text = next((feature for feature in schema.item if feature.kind == "text"), None)
    catalogue["title"] = "" if text is None else data.items[text.name].str.slice(0, 80)
    if text is not None and len(text.columns) > 1:
        # The validated text is all columns in one; the table's first is the title.
        table = read_table(config.data.items)
        # Backwards: of rows with one id the first counts, as in validation, and the last to come stays in a dict.
        titles = dict(zip(parse_ids(table[schema.item_id])[::-1], parse_text(table[text.column])[::-1]))
        catalogue["title"] = catalogue["item_id"].map(titles).fillna("").str.slice(0, 80)
    category = next((f for f in schema.item if f.kind in ("categorical", "multi_categorical")), None)
    if category is None:
        catalogue["category"] = ""
    else:
        values = data.items[category.name]
        catalogue["category"] = values if category.kind == "categorical" else values.map(", ".join)
    image = next((feature for feature in schema.item if feature.kind == "image"), None)
    pictures = [None] * len(catalogue) if image is None else data.items[image.name]
    catalogue["picture"] = [str(picture) if isinstance(picture, Path) else "" for picture in pictures]
    return catalogue


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """A folder to write to that takes the target's place when the block ends well, and vanishes otherwise."""
    with unfinished_folder(target.parent, f".{target.name}.new-") as unfinished:
        unfinished.chmod(0o755)
        yield unfinished
        swap_in(unfinished, target)


@contextmanager
def new_run(folder: str | Path, overwrite: bool = False) -> Iterator[Run]:
    """A run that appears at its place when the block ends well; otherwise what was there stays whole.

    Raises:
        RunError: if the folder holds something that is no run, or a run that is not to be replaced.
    """
    target = Path(folder).absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        if not (target / "config.yaml").is_file() or not (target / "checkpoints").is_dir():
            raise RunError(f"{folder} exists and is no run. Name another folder with --out.")
        if not overwrite:
            raise RunError(f"{folder} already holds a run. Name another folder with --out, or add --overwrite.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(target) as unfinished:
        yield Run(unfinished)


def check_same_ids(prepared_ids: list[str], ids: list[str], side: str) -> None:
    """Refuses a run whose tables have changed since it was trained: every index in it would mean something else.

    Raises:
        RunError: naming the first difference.
    """
    if prepared_ids == ids:
        return
    place = next((i for i, (a, b) in enumerate(zip(prepared_ids, ids)) if a != b), min(len(prepared_ids), len(ids)))
    raise RunError(
        f"the {side} table has changed since this run was trained (first difference in row {place}; "
        f"{len(prepared_ids)} rows then, {len(ids)} now). Train again with: mmrec train"
    )
