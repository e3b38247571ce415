"""How much meaning an encoder's vectors carry: do an item's nearest neighbours belong with it?

    python examples/encoders/neighbours.py --data DIR [--encoders minilm efficientnet_lite0]

DIR holds the data sets, as far as they are there: `movielens-small` (plots; neighbours that share a genre),
`photos-cc0` (clothes; the same class), `sounds-esc10-ccby` (everyday sounds; the same class), `emotify-odd` (music; the
same genre), `speech-fsdd-ccbysa` (spoken digits; the same digit, the same speaker). No encoder has seen the labels.
"""

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd

import mmrec_tf as mm
from mmrec_tf.config import EncoderConfig
from mmrec_tf.encoders.registry import build_encoder
from mmrec_tf.features.feature_store import FeatureStore
from mmrec_tf.schema import Feature

ENCODERS = {
    "text": ["hashed_text", "minilm"],
    "image": ["image_cnn", "efficientnet_lite0"],
    "audio": ["audio_cnn", "musicnn", "musicnn_msd", "basic_pitch"],
}
NEIGHBOURS = (1, 5, 10)


@dataclass
class Task:
    """Items with labels.

    Attributes:
        name: what is looked for.
        kind: of the items: text, image or audio.
        sources: a text or a path per item.
        labels: the set of labels of each item; two items belong together when they share one.
    """

    name: str
    kind: str
    sources: list
    labels: list[set[str]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--encoders", nargs="+", help="encoders to compare; light and pretrained by default")
    parser.add_argument("--store", type=Path, help="feature store to keep the vectors in; a temporary one by default")
    arguments = parser.parse_args()
    tasks = [task for read in TASKS for task in read(arguments.data)]
    if not tasks:
        print(f"error: {arguments.data} holds none of the data sets that --help lists.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as temporary:
        store = FeatureStore(arguments.store or temporary)
        rows = [row for task in tasks for row in judged(task, store, arguments.encoders)]
    print(pd.DataFrame(rows).to_string(index=False, float_format="%.3f"))
    return 0


def judged(task: Task, store: FeatureStore, chosen: list[str] | None) -> list[dict]:
    """A row for each encoder: the share of the k nearest neighbours that share a label, and what chance would give."""
    rows = []
    for name in ENCODERS[task.kind] if chosen is None else [name for name in chosen if name in ENCODERS[task.kind]]:
        encoder = build_encoder(Feature(name="item", kind=task.kind), EncoderConfig(type=name))
        store.embed(encoder, task.sources)
        vectors, mask = store.read(encoder, task.sources)
        belongs = shared_labels(task.labels)[np.ix_(mask, mask)]
        row = {"task": task.name, "items": int(mask.sum()), "encoder": name, "width": encoder.dim}
        rows.append({**row, **neighbour_shares(vectors[mask], belongs), "chance": chance(belongs)})
    return rows


def shared_labels(labels: list[set[str]]) -> np.ndarray:
    """`[items, items]` bool, whether two items share a label."""
    names = sorted(set().union(*labels))
    has = np.array([[name in item for name in names] for item in labels], np.float32)
    return has @ has.T > 0


def neighbour_shares(vectors: np.ndarray, belongs: np.ndarray) -> dict[str, float]:
    """Of each item's k nearest others by cosine, the share that belongs with it; the mean over items."""
    centred = vectors - vectors.mean(axis=0)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
    nearness = centred @ centred.T
    np.fill_diagonal(nearness, -np.inf)
    order = np.argsort(-nearness, axis=1, kind="stable")
    return {f"of {k}": float(np.take_along_axis(belongs, order[:, :k], axis=1).mean()) for k in NEIGHBOURS}


def chance(belongs: np.ndarray) -> float:
    """The same share for neighbours drawn at random."""
    others = len(belongs) - 1
    return float((belongs.sum(axis=1) - np.diag(belongs)).mean() / others)


def plots(folder: Path) -> list[Task]:
    path = folder / "movielens-small" / "items_text.csv"
    if not path.is_file():
        return []
    table = pd.read_csv(path, dtype=str).dropna(subset=["wiki_extract", "genres"])
    table = table[table["genres"] != "(no genres listed)"].drop_duplicates("wiki_extract")
    labels = [set(genres.split("|")) for genres in table["genres"]]
    whole = table["wiki_extract"].tolist()
    # The first sentence of an encyclopaedia's article usually names the genre.
    rest = [re.sub(r"^.*?[.!?]\s+(?=[A-Z])", "", text, count=1, flags=re.DOTALL) for text in whole]
    return [
        Task("plots: a genre shared", "text", whole, labels),
        Task("  without the first sentence", "text", rest, labels),
    ]


def photos(folder: Path) -> list[Task]:
    return files("photos: same clothing class", "image", folder / "photos-cc0", "*.jpg", 0)


def sounds(folder: Path) -> list[Task]:
    return files("sounds: same class", "audio", folder / "sounds-esc10-ccby", "*.ogg", 1)


def music(folder: Path) -> list[Task]:
    path = folder / "emotify-odd" / "items.csv"
    if not path.is_file():
        return []
    table = pd.read_csv(path)
    sources = [path.parent / audio for audio in table["audio"]]
    return [Task("music: same genre", "audio", sources, [{genre} for genre in table["genre"]])]


def speech(folder: Path) -> list[Task]:
    folder = folder / "speech-fsdd-ccbysa"
    return [
        *files("speech: same digit", "audio", folder, "*.wav", 0),
        *files("speech: same speaker", "audio", folder, "*.wav", 1),
    ]


def files(name: str, kind: str, folder: Path, pattern: str, label_part: int) -> list[Task]:
    """A task of files whose names hold the label, as one of the parts between underscores."""
    paths = sorted(folder.glob(pattern))
    labels = [{path.stem.split("_")[label_part]} for path in paths]
    return [Task(name, kind, paths, labels)] if paths else []


TASKS: list[Callable[[Path], list[Task]]] = [plots, photos, sounds, music, speech]

if __name__ == "__main__":
    try:
        sys.exit(main())
    except mm.MmrecError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
