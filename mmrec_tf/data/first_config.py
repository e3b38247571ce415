"""The text of the first configuration: what `inspection` found, as YAML with a comment on everything.

Written by hand and not by a YAML library, because the comments are what the reader needs most. Defaults are taken
from `config`, so that the file says what would happen without it.
"""

from pathlib import Path

import yaml

from mmrec_tf.config import FusionConfig, Policies, SplitConfig
from mmrec_tf.config_models import EvaluationConfig, ExportConfig, RankingConfig, RetrievalConfig
from mmrec_tf.config_training import TrainConfig
from mmrec_tf.data.column_guess import ColumnGuess

_BUILT_IN = {"text": "hashed_text", "image": "image_cnn", "audio": "audio_cnn", "video": "video_cnn"}


def render_config(found: dict, tables: Path) -> str:
    """The configuration as text.

    Args:
        found: what `inspect_folder` gives.
        tables: the tables' folder, relative to the file that is written.
    """
    columns = {role: dict(guesses) for role, guesses in found["columns"].items()}
    item_lines, encoded = _item_features(columns["items"], found["item_id"])
    sections = [
        [
            "# Written by mmrec init from what the tables look like. Read it, mend what was guessed wrong, then:",
            "#   mmrec validate CONFIG    # what is wrong with the data",
            "#   mmrec train CONFIG       # train, evaluate and report",
            "# Every value may also be set on the command line: --set train.epochs=3",
            "",
            "# Title of the run in reports, and the seed of everything random.",
            f"name: {_value(Path(found['items']).stem)}",
            "seed: 42",
        ],
        _data(found, tables),
        [
            "# What each column is. Kinds: id, categorical, multi_categorical (several values in a cell), number,",
            "# timestamp; for items also text, image, audio, video, vector. Remove a line to leave the column out.",
            "# Longer form, when the column has another name: {kind: text, columns: [title, plot]}",
            "schema:",
            "  user:",
            f"    {_value(found['user_id'])}: id",
            *_plain_features(columns.get("users", {})),
            "  item:",
            f"    {_value(found['item_id'])}: id",
            *item_lines,
            *_folder_hints(found),
            *_context(columns["interactions"], found),
        ],
        _split(found),
        _encoders(encoded),
        [
            "# How the modalities of an item become one vector. method: name of a fusion; modality_dropout: chance of",
            "# hiding a modality in training, so that the model copes with items that lack one.",
            "fusion:",
            *_defaults(FusionConfig(), "method", "modality_dropout"),
        ],
        [
            "# The two-tower retrieval model and the ranker. ranking.enabled: false leaves the ranker out;",
            "# ranking.model: also dcn, din, bst and more; ranking.target: click (positives and sampled negatives) or",
            "# rating (the label).",
            "models:",
            "  retrieval:",
            *_defaults(RetrievalConfig(), "dim", "hidden", "history_length", "temperature", indent=4),
            "  ranking:",
            *_defaults(RankingConfig(), "enabled", "model", "target", "dim", "hidden", indent=4),
        ],
        [
            "# Training. epochs is the most; training stops after `patience` epochs without a better validation score.",
            "# batch_size: null is 1024, or fewer where there are few interactions.",
            "train:",
            *_defaults(TrainConfig(), "epochs", "batch_size", "learning_rate", "patience"),
            "  ranking:",
            *_defaults(TrainConfig().ranking, "epochs", "batch_size", "learning_rate", "patience", indent=4),
        ],
        [
            "# What is measured. k: cut-offs, the first is the headline; baselines: shown in the same table; also",
            "# recent_popularity, user_knn, ease, bpr, vbpr, content, hybrid and more.",
            "evaluation:",
            *_defaults(EvaluationConfig(), "k", "baselines"),
        ],
        [
            "# What the exported models answer. candidates: items that retrieval hands to the ranker; k: items given",
            "# when a request does not say.",
            "export:",
            *_defaults(ExportConfig(), "candidates", "k"),
        ],
        [
            "# Where the items' vectors are kept between runs, relative to this file.",
            "store: feature_store",
        ],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def _data(found: dict, tables: Path) -> list[str]:
    lines = [
        "# The tables (CSV or Parquet), relative to this file. Media paths in a table are relative to the table.",
        "data:",
        *(f"  {role}: {_value((tables / found[role]).as_posix())}" for role in ("interactions", "items")),
        f"  users: {_value((tables / found['users']).as_posix())}"
        if found["users"]
        else "  users: null  # a table with what is known of users, if there is one",
    ]
    if found["others"]:
        lines.append(f"  # Not used: {', '.join(found['others'])}")
    lines += [
        "  # A rating or click flag in the interactions; null when every interaction is a positive. Labels outside",
        "  # label_range are reported; those below positive_from are no positives.",
        f"  label: {_value(found['label'])}",
    ]
    if found["label_range"]:
        lines.append(f"  label_range: {_value(list(found['label_range']))}")
        lines.append(f"  positive_from: {_value(found['positive_from'])}")
    lines += [
        "  # true: stop at any problem with the data. false: follow the policies.",
        "  strict: false",
        "  policies:",
    ]
    for name, field in Policies.model_fields.items():
        lines.append(f"    {name}: {field.default}  # {', '.join(field.annotation.__args__)}")
    return lines


def _feature(name: str, guess: ColumnGuess) -> str:
    if guess.separator is not None and guess.separator != "|":
        return f"    {_value(name)}: {{kind: {guess.kind}, separator: {_value(guess.separator)}}}"
    return f"    {_value(name)}: {guess.kind}"


def _skipped(name: str, reason: str) -> str:
    # One line whatever the name holds: a line break in it would end the comment.
    return f"    # {' '.join(name.split())}: left out, {reason}"


def _plain_features(columns: dict[str, ColumnGuess]) -> list[str]:
    lines = []
    for name, guess in columns.items():
        if guess.kind in ("text", "image", "audio", "video", "vector"):
            lines.append(_skipped(name, f"{guess.kind} belongs to items only"))
        else:
            lines.append(_skipped(name, guess.reason) if guess.kind == "skip" else _feature(name, guess))
    return lines


def _item_features(columns: dict[str, ColumnGuess], item_id: str) -> tuple[list[str], list[str]]:
    """The lines of the item's features, and the names of those that take an encoder."""
    lines, encoded = [], {}
    texts = [name for name, guess in columns.items() if guess.kind == "text"]
    for name, guess in columns.items():
        if guess.kind == "skip":
            lines.append(_skipped(name, guess.reason))
        elif guess.kind != "text":
            lines.append(_feature(name, guess))
            if guess.kind in _BUILT_IN:
                encoded[name] = _BUILT_IN[guess.kind]
        elif name == texts[0] and len(texts) > 1:
            taken = {item_id, *columns} - set(texts)
            joined = next(word for word in ("text", "texts", "words", "all_text") if word not in taken)
            lines.append(f"    {joined}: {{kind: text, columns: {_value(texts)}}}  # joined; or one feature for each")
            encoded[joined] = _BUILT_IN["text"]
        elif len(texts) == 1:
            lines.append(_feature(name, guess))
            encoded[name] = _BUILT_IN["text"]
    return lines, encoded


def _folder_hints(found: dict) -> list[str]:
    lines = []
    known = {guess.kind for guess in found["columns"]["items"].values()}
    for media in found["media_folders"]:
        kind, item_id = media["kind"], found["item_id"]
        if kind in known:
            continue
        paths = f'"{media["folder"]}/" + items["{item_id}"].astype(str) + "{Path(media["example"]).suffix}"'
        lines += [
            f"    # {media['folder']}/ holds {media['files']:,} {kind} files, {media['matching']:,} of them named by",
            f"    # {item_id} (such as {media['example']}). To use them, add a column with their paths to",
            f"    # {found['items']}, for example in pandas",
            f'    #   items["{kind}"] = {paths}',
            f"    # and here the line   {kind}: {kind}",
        ]
    return lines


def _context(columns: dict[str, ColumnGuess], found: dict) -> list[str]:
    timestamp = found["timestamp"]
    lines = [] if timestamp is None else [f"    {_value(timestamp)}: timestamp"]
    # Columns of the interaction are often its outcome (a review, seconds watched), unknown when recommending.
    hints = [
        f"    # {' '.join(name.split())}: {guess.kind}  # only if it is known before recommending"
        for name, guess in columns.items()
        if guess.kind in ("categorical", "multi_categorical", "number")
    ]
    hints += [_skipped(name, guess.reason) for name, guess in columns.items() if guess.kind == "skip"]
    return ["  context:", *lines, *hints] if lines else ["  context: {}", *hints]


def _split(found: dict) -> list[str]:
    method = "random" if found["timestamp"] is None else SplitConfig().method
    return [
        "# How interactions become train, validation, test. method: leave_one_out (each user's last is test, the one",
        "# before validation), temporal (all after a moment: shares below, or validation_from and test_from as dates),",
        "# random (shares), column (a column says train, validation or test: name it in `column`).",
        "split:",
        f"  method: {method}" + ("  # the others need a timestamp" if found["timestamp"] is None else ""),
        *_defaults(SplitConfig(), "validation", "test"),
    ]


def _encoders(encoded: dict[str, str]) -> list[str]:
    lines = [
        "# How each item feature with content becomes a vector, by the feature's name or kind. Built in, without a",
        "# download: hashed_text, image_cnn, audio_cnn, video_cnn. Pretrained, built once by `mmrec pretrained build`:",
        "# minilm, efficientnet_lite0, musicnn. A TF-Hub module: {handle: URL} or {path: local directory}.",
    ]
    if not encoded:
        return [*lines, "encoders: {}"]
    return [*lines, "encoders:", *(f"  {_value(name)}: {encoder}" for name, encoder in encoded.items())]


def _defaults(config, *names: str, indent: int = 2) -> list[str]:
    return [f"{' ' * indent}{name}: {_value(getattr(config, name))}" for name in names]


def _value(value) -> str:
    """The value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
    return text.removesuffix("\n").removesuffix("\n...")
