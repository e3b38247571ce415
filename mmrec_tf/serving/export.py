"""Exporting a trained chain as SavedModels that TensorFlow Serving takes as they are."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import tensorflow as tf

from mmrec_tf.errors import ServingError
from mmrec_tf.folders import unfinished_folder
from mmrec_tf.recommend.engine import RecommendationEngine
from mmrec_tf.recommend.scann_index import ScannIndex
from mmrec_tf.serving.export_reference import References
from mmrec_tf.serving.item_encoder import ItemEncoder
from mmrec_tf.serving.op_check import check_model, require_servable, write_needed_libraries
from mmrec_tf.serving.reference import Reference
from mmrec_tf.serving.server_files import write_server_files
from mmrec_tf.serving.signatures import Signatures, encoder_signatures, model_signatures, warmup_examples
from mmrec_tf.serving.warmup import write_warmup


def export_models(
    engine: RecommendationEngine,
    folder: str | Path,
    k: int = 10,
    progress: Callable[[str, int, int], None] | None = None,
    modality_weights: bool = True,
    item_encoder: ItemEncoder | None = None,
) -> dict[str, Path]:
    """Writes `recommend`, `retrieval`, `ranking` (where there is a ranker) and `item_encoder` (where one is given).

    Each is written as its next integer version.

    A version appears in one rename, because the server polls the folder and would load a half-written one, and none
    appears before all are written.

    Each is checked by `op_check` and answers its warm-up requests before it appears: one that TensorFlow Serving would
    not run is not exported, save that ScaNN's ops are as good as asked for where the engine's search is a `ScannIndex`.
    What it answers to a sample of the known users is kept in `assets.extra/reference.json` of the version, to find out
    later whether answers have shifted; see `Reference`. What the server is started with is written beside the models;
    see `write_server_files`.

    Signatures, every input with a batch dimension:

    - `recommend`: `serving_default(user_id)`; `recommend(user_id, k, exclude_ids, history_item_ids, ...)` and, of the
      schema's context, one more input for each feature; `recommend_weighted(user_id, k, modality, weight)` ->
      `item_id`, `score` `[batch, k]`; `explain(user_id, item_id)` -> `score` `[batch]`, `contribution` and `part`
      `[batch, parts]`.
    - `retrieval`: `serving_default(user_id)`, `retrieve(user_id, k)`, `similar_items(item_id, k)`,
      `embed_user(user_id)`, `embed_item(item_id)` -> `embedding` `[batch, dim + 2]`, whose dot product is
      the towers' score: the retrieval score without what `TwoTower.memories` add.
    - `ranking`: `serving_default(user_id, item_id)` -> `score` `[batch]`, one pair per row, and
      `rank(user_id, item_ids)` -> `score` `[batch, n]`.
    - `item_encoder`: `serving_default`, whose inputs are the item's features; see `ItemEncoder` -> `embedding`
      `[batch, dim + 2]`, as that of `embed_item`.

    Servers want every input of a signature, but all beyond `user_id` and `k` may say nothing: `exclude_ids`,
    `history_item_ids`, `modality` (string) and `weight` (float32) are `[batch, n]`, where n may be 0, and an entry `""`
    says nothing either. Nor does an empty string of the context, or a number with n of 0; see `ContextInputs`. What
    `modality` does not name has weight 1; see `RecommendationEngine`.

    `k` is taken from the batch's largest; a row that asked for less is cut by the client. It is at least 1 and at most
    the number of items.

    Args:
        engine: the trained chain.
        folder: the export folder, one sub-folder per model.
        k: int. Items that `serving_default` returns.
        modality_weights: bool. Whether there is `recommend_weighted`, for which the `recommend` model holds the item
            embeddings once more for each modality. Defaults to True.
        item_encoder: of items that were born after training; None, the default, for none.

    Returns:
        Model name -> path of the version written.

    Raises:
        ServingError: if TensorFlow Serving would not run a model, it does not answer, or it cannot be written, as on a
            full disk; the earlier versions stay as they are.
    """
    folder = Path(folder)
    tables = [engine.user_table, engine.item_table, engine.context_inputs]
    served = model_signatures(engine, k, modality_weights)
    models = {name: (engine, tables, signatures) for name, signatures in served.items()}
    if item_encoder is not None:
        models["item_encoder"] = item_encoder, item_encoder.tables, encoder_signatures(item_encoder)
    examples = {name: {} if name == "item_encoder" else warmup_examples(engine, k) for name in models}
    expected = References(engine, served)
    # All are whole before the first is in its place, so that a full disk leaves no model ahead of the others.
    with _told_where(folder), ExitStack() as stack:
        versions = {}
        for number, (name, model) in enumerate(models.items()):
            if progress is not None:
                progress("exporting", number, len(models))
            reference = partial(expected.of, name) if name in served else None
            versions[name] = stack.enter_context(new_version(*model, folder / name, examples[name], reference))
        written = {name: put_in_place(version, folder / name) for name, version in versions.items()}
        if progress is not None:
            progress("exporting", len(models), len(models))
        write_server_files(folder, engine.item_count)
    return written


def export_ranking(engine: RecommendationEngine, folder: str | Path) -> Path:
    """Writes the `ranking` model of `export_models` alone, to measure it: checked and warmed up, without a reference.

    Args:
        engine: the trained chain, with a ranker.
        folder: the export folder.

    Returns:
        The path of the version written.

    Raises:
        ServingError: as `export_models`.
    """
    tables = [engine.user_table, engine.item_table, engine.context_inputs]
    signatures = model_signatures(engine, 1, modality_weights=False)["ranking"]
    examples = warmup_examples(engine, 1)
    folder = Path(folder) / "ranking"
    with _told_where(folder), new_version(engine, tables, signatures, folder, examples, None) as version:
        return put_in_place(version, folder)


@contextmanager
def new_version(
    owner: tf.Module,
    tables: object,
    signatures: Signatures,
    folder: Path,
    examples: Mapping[str, Sequence],
    reference: Callable[[], Reference] | None,
) -> Iterator[Path]:
    """The next version of one SavedModel, checked and warmed up, which the block hands to `put_in_place`.

    Args:
        owner: what the signatures read.
        tables: further objects to track, such as lookup tables.
        signatures: name -> function.
        folder: the model's folder, of integer versions.
        examples: signature -> inputs that it is warmed up with.
        reference: gives what later answers are compared with; None for nothing.

    Yields:
        Where it is. What is still there after the block is removed.

    Raises:
        ServingError: if TensorFlow Serving would not run it, or it does not answer.
        OSError, tf.errors.OpError: if it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # The server only looks at integer names, so the unfinished version stays out of its sight.
    asked = ("ScaNN",) if isinstance(getattr(owner, "search", None), ScannIndex) else ()
    with unfinished_folder(folder, ".unfinished-") as unfinished:
        path = unfinished / "model"
        save = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"] if asked else None)
        # Given as functions that are not traced, they would be traced for saving once more.
        traced = {name: function.get_concrete_function() for name, function in signatures.items()}
        tf.saved_model.save(_Servable(owner, tables, traced), str(path), signatures=traced, options=save)
        check = check_model(path, asked)
        require_servable(check, folder.name)
        write_needed_libraries(check)
        write_warmup(path, folder.name, examples)
        if reference is not None:
            reference().save(path)
        yield path


def put_in_place(version: Path, folder: Path) -> Path:
    """Gives a version the next number, in one rename, and returns its place."""
    while True:
        versions = [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
        target = folder / str(max(versions, default=0) + 1)
        try:
            version.rename(target)
        except OSError:
            # Another exporter took the number meanwhile.
            if not target.exists():
                raise
        else:
            return target


@contextmanager
def _told_where(folder: Path) -> Iterator[None]:
    try:
        yield
    except (tf.errors.OpError, OSError) as error:
        raise ServingError(
            f"the export to {folder} could not be written: {getattr(error, 'message', error)}. Make room, or mend the "
            "place, and export again; earlier versions are as they were."
        ) from error


class _Servable(tf.Module):
    """What one SavedModel tracks: the tables and variables that its signatures use, and nothing of Keras."""

    def __init__(self, owner: tf.Module, tables: object, traced: Mapping[str, Callable]):
        super().__init__()
        self.tables = tables
        # A function's own list of variables lacks those that are only gathered from by several indices at once.
        captured = {id(tensor) for function in traced.values() for tensor, _ in function.graph.captures}
        self.tracked = [variable for variable in owner.variables if id(variable.handle) in captured]
