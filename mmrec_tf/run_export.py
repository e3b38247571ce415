"""What a run serves: its SavedModels, written from the models and the data that made them."""

import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from mmrec_tf.config import Config
from mmrec_tf.data.number_scale import NumberScale
from mmrec_tf.data.rec_data import RecData
from mmrec_tf.data.tables import read_table
from mmrec_tf.data.validation import validate_frames
from mmrec_tf.encoders.base import Encoder
from mmrec_tf.errors import DataError, EncoderError, RunError
from mmrec_tf.exploration import load_explorer
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.features.item_vectors import embed_items
from mmrec_tf.features.prepared import Prepared
from mmrec_tf.folders import settled
from mmrec_tf.models.build import build_ranker, build_two_tower
from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.two_tower import TwoTower
from mmrec_tf.recommend.engine import RecommendationEngine
from mmrec_tf.recommend.grown_catalogue import take_weights, with_new_items
from mmrec_tf.recommend.index_choice import takes_building
from mmrec_tf.run import Run, catalogue_of, replacing, replacing_folder
from mmrec_tf.schema import Schema
from mmrec_tf.serving.export import export_models
from mmrec_tf.serving.item_encoder import item_encoder

Progress = Callable[[str, int, int], None]


def serving_engine(
    prepared: Prepared, retrieval: TwoTower, ranking: Ranker | None, removed: Iterable[str] = ()
) -> RecommendationEngine:
    """The chain as it is served: histories, trends and seen items from all interactions, the test's included."""
    prepared.bring_up_to_date((retrieval, ranking), prepared.split.validation, prepared.split.test)
    return RecommendationEngine(
        retrieval,
        ranking,
        prepared.users,
        prepared.items,
        prepared.sequences(prepared.data.interactions),
        prepared.config.export.candidates,
        seen=prepared.touched(prepared.data.interactions),
        context=prepared.context,
        removed=removed,
    )


def grown_engine(run: Run, prepared: Prepared, retrieval: TwoTower, ranking: Ranker | None) -> RecommendationEngine:
    """The chain as it is served, over the catalogue as `change_catalogue` has left it."""
    removed = removed_items(run)
    if not (_folder(run) / "items").is_dir():
        return serving_engine(prepared, retrieval, ranking, removed)
    items = FeatureTable.load(_folder(run) / "items")
    config, context = _of_trained_size(prepared), prepared.context
    larger = build_two_tower(config, prepared.users, items, context=context)
    take_weights(larger, retrieval)
    larger_ranking = None
    if ranking is not None:
        larger_ranking = build_ranker(config, prepared.users, items, context)
        take_weights(larger_ranking, ranking)
    return serving_engine(replace(prepared, items=items), larger, larger_ranking, removed)


def removed_items(run: Run) -> list[str]:
    """Ids of items that `change_catalogue` has removed, which nobody is shown any more."""
    path = _folder(run) / "removed.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def change_catalogue(
    run: Run,
    prepared: Prepared,
    add: Path | None = None,
    remove: Sequence[str] = (),
    progress: Progress | None = None,
) -> None:
    """Keeps, beside what a run has trained, items that come after it and those that are not to be served any more.

    New items are validated and embedded as those of the training were, and found by their content; they take part in
    everything but in training. Removed items are not returned any more. The change takes its place in one rename, and
    adds to earlier ones; the next export serves it.

    Args:
        run: the run.
        prepared: its data.
        add: table of new items, CSV or Parquet, with the columns of the items table; paths of media are relative to it.
        remove: ids of items.
        progress: called with (description, done, total).

    Raises:
        DataError: if the table is not valid, or an item of it is in the catalogue already.
        RunError: if an item that is to be removed is not in the catalogue, or nothing is to be changed.
    """
    if add is None and not remove:
        raise RunError("nothing to add or to remove: give a table of items, or ids.")
    items = FeatureTable.load(_folder(run) / "items") if (_folder(run) / "items").is_dir() else prepared.items
    catalogue = run.load_catalogue()
    is_grown = add is not None or items is not prepared.items
    if add is not None:
        new, shown = _new_items(run, prepared, add, progress)
        modalities = [feature.name for feature in prepared.config.features.modalities if feature.kind != "vector"]
        encoders = {name: run.load_encoder(prepared.config, name) for name in modalities}
        vectors, _ = embed_items(new, prepared.config, progress, encoders)
        items = with_new_items(items, new.items, prepared.data.schema.item, vectors, _numbers(prepared))
        # Those of a change that was broken off may be there already.
        catalogue = pd.concat([catalogue, shown], ignore_index=True).drop_duplicates("item_id", keep="last")
    unknown = sorted(set(remove) - set(items.ids))
    if unknown:
        raise RunError(
            f"{len(unknown)} of {len(remove)} items to remove are not in the catalogue; the first: {unknown[0]!r}. "
            "Leave them out."
        )
    removed = sorted({*removed_items(run), *remove})
    # Before the change itself: titles of items that nobody is shown harm nobody, items without a title would.
    if add is not None:
        with replacing(run.folder / "items.parquet") as path:
            catalogue.to_parquet(path, index=False)
    with replacing_folder(_folder(run)) as folder:
        if is_grown:
            items.save(folder / "items")
        (folder / "removed.json").write_text(json.dumps(removed, ensure_ascii=False), encoding="utf-8")


def served_encoders(run: Run, config: Config) -> dict[str, Encoder]:
    """The encoders for `export_run`; one that is not to be had any more is left out, with a warning."""
    encoders = {}
    for feature in config.features.modalities:
        if feature.kind != "vector":
            try:
                encoders[feature.name] = run.load_encoder(config, feature.name)
            except EncoderError as error:
                warnings.warn(f"item_encoder takes no {feature.name!r}: {error}", stacklevel=2)
    return encoders


def export_run(
    run: Run,
    prepared: Prepared,
    engine: RecommendationEngine,
    encoders: dict[str, Encoder],
    progress: Progress | None = None,
) -> dict[str, Path]:
    """Writes the next version of every SavedModel of a run, with the index that the configuration asks for.

    See `export_models`.

    Args:
        run: whose export folder it is.
        prepared: the data.
        engine: the chain as it is served, which nobody has asked yet.
        encoders: by item feature, with the weights that the items' vectors were made with.
        progress: called with (description, done, total).

    Returns:
        Model name -> path of the version written.
    """
    options = prepared.config.export
    takes_time = progress is not None and takes_building(options.index, engine.item_count)
    if takes_time:
        progress("building the index", 0, 1)
    engine.use_index(options.index, options.recall, options.table)
    if takes_time:
        progress("building the index", 1, 1)
    encoder = item_encoder(engine.retrieval, prepared.data.schema.item, prepared.items, _numbers(prepared), encoders)
    for note in [] if encoder is None else encoder.notes:
        warnings.warn(note, stacklevel=2)
    if engine.ranking is not None and prepared.config.models.ranking.exploration is not None:
        engine.explorer = load_explorer(run, prepared.config)
    try:
        return export_models(engine, run.export_folder, options.k, progress, options.modality_weights, encoder)
    finally:
        # Who asks the engine itself, as the report does, is told what is known.
        engine.explorer = None


def _new_items(run: Run, prepared: Prepared, add: Path, progress) -> tuple[RecData, pd.DataFrame]:
    """The new items as validated data, and what people recognise them by."""
    config = prepared.config
    schema = Schema(user={"user_id": "id"}, item=config.features.item, context={})
    frame = read_table(add)
    column = next(feature.column for feature in schema.item if feature.kind == "id")
    if column not in frame:
        raise DataError(f"{add} has no column {column!r}, the items' id. It needs the columns of the items table.")
    # Items are validated with the interactions that name them, so each is named once.
    named = pd.DataFrame({"user_id": ["new"] * len(frame), schema.item_id: frame[column]})
    data, report = validate_frames(
        schema,
        named,
        frame,
        media_folder=add.absolute().parent,
        strict=config.data.strict,
        policies=config.data.policies,
        progress=progress,
    )
    for problem in report.problems:
        if problem.table == "items":
            warnings.warn(problem.describe(), stacklevel=2)
    new_config = config.model_copy(update={"data": config.data.model_copy(update={"items": add.absolute()})})
    return data, catalogue_of(data, new_config)


def _numbers(prepared: Prepared) -> dict[str, NumberScale]:
    """By what the numbers of the items' table were scaled: told again by the rows that training has seen."""
    seen = prepared.items.id_index[1:] > 0
    items = prepared.data.items
    names = [feature.name for feature in prepared.data.schema.item if feature.is_number]
    return {name: NumberScale.fit(items[name].to_numpy(float)[seen]) for name in names}


def _of_trained_size(prepared: Prepared) -> Config:
    """The configuration with what it decides by the size of the catalogue decided as in training."""
    config = prepared.config
    retrieval = config.models.retrieval
    source = retrieval.negatives.source_for(prepared.items.size)
    negatives = retrieval.negatives.model_copy(update={"source": source})
    retrieval = retrieval.model_copy(update={"negatives": negatives})
    return config.model_copy(update={"models": config.models.model_copy(update={"retrieval": retrieval})})


def _folder(run: Run) -> Path:
    return settled(run.folder / "index")
