"""DeepFM of RecBole, through its own dataset and trainer."""

import logging
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from deepfm_settings import at_width, hidden_widths, learning
from pair_arrays import PARTS
from ranker_run import RankingPeer, Setting, main, threads
from recbole.config import Config
from recbole.data import create_dataset
from recbole.data.dataloader import TrainDataLoader
from recbole.data.interaction import Interaction
from recbole.utils import get_model, get_trainer, init_seed

_NAME = "train"

MOST_PASSES = 50


def train(arrays, settings, seed):
    trainer, batches, kinds = _made(arrays, settings, seed)
    model, dataset = trainer.model, batches._dataset
    inputs = {part: _numbered(dataset, {kind: found[part] for kind, found in kinds.items()}) for part in PARTS}

    @torch.no_grad()
    def predict(part):
        model.eval()
        found = [
            model.predict(inputs[part][start : start + 8192]).numpy() for start in range(0, len(inputs[part]), 8192)
        ]
        return np.concatenate(found) if found else np.zeros(0)

    for passes in range(1, MOST_PASSES + 1):
        trainer.start_epoch, trainer.epochs = passes - 1, passes
        model.train()
        trainer.fit(batches, None, verbose=False, saved=False)
        yield passes, predict


def in_one_call(arrays, settings, seed):
    trainer, batches, _ = _made(arrays, settings, seed)
    pass_of_trainer, ends = trainer._train_epoch, []

    # RecBole calls nobody back where nothing is judged.
    def noted(*arguments, **named):
        loss = pass_of_trainer(*arguments, **named)
        ends.append(time.perf_counter())
        return loss

    trainer._train_epoch = noted

    def call(passes):
        ends.clear()
        trainer.start_epoch, trainer.epochs = 0, passes
        trainer.fit(batches, None, verbose=False, saved=False)
        return list(ends)

    return call


def _made(arrays, settings, seed):
    torch.set_num_threads(max(1, threads()))
    clock = settings["with_clock"]
    kinds = {
        "token": {part: arrays.categories(part, clock) for part in PARTS},
        "token_seq": {part: arrays.lists(part) for part in PARTS},
        "float": {part: arrays.numbers(part) for part in PARTS},
    }
    # What RecBole reads from the folder it reads here.
    with tempfile.TemporaryDirectory(prefix="recbole") as folder:
        folder = Path(folder)
        _write(folder, {kind: found["train"] for kind, found in kinds.items()}, arrays.parts["train"].label)
        config = _config(kinds, settings, seed, folder)
        init_seed(seed, True)
        dataset = create_dataset(config)
        batches = TrainDataLoader(config, dataset.build()[0], None, shuffle=True)
        model = get_model("DeepFM")(config, batches._dataset)
        trainer = get_trainer(config["MODEL_TYPE"], "DeepFM")(config, model)
    return trainer, batches, kinds


def _write(folder, kinds, labels):
    """RecBole reads atomic files: a header with types, then tab-separated values."""
    names = [f"{name}:{kind}" for kind, columns in kinds.items() for name in columns]
    text = {
        "token": lambda value: str(value),
        "token_seq": lambda values: " ".join(str(value) for value in values if value),
        "float": lambda value: f"{value:.6g}",
    }
    columns = [list(map(text[kind], values)) for kind, found in kinds.items() for values in found.values()]
    (folder / _NAME).mkdir()
    with open(folder / _NAME / f"{_NAME}.inter", "w", encoding="utf-8") as file:
        file.write("\t".join([*names, "label:float"]) + "\n")
        for *row, label in zip(*columns, labels):
            file.write("\t".join([*row, f"{label:g}"]) + "\n")


def _config(kinds, settings, seed, folder):
    values = {
        "data_path": str(folder),
        "checkpoint_dir": str(folder / "saved"),
        "seed": seed,
        "use_gpu": False,
        "show_progress": False,
        "state": "ERROR",
        "USER_ID_FIELD": "user_id",
        "ITEM_ID_FIELD": "item_id",
        "LABEL_FIELD": "label",
        "load_col": {"inter": [*(name for found in kinds.values() for name in found["train"]), "label"]},
        "numerical_features": list(kinds["float"]["train"]),
        # The split is made outside: all that RecBole sees is training, and its labels are told.
        "eval_args": {"split": {"RS": [1.0, 0.0, 0.0]}, "order": "RO", "group_by": None, "mode": "labeled"},
        "train_neg_sample_args": None,
        "learning_rate": settings["learning_rate"],
        "weight_decay": settings["weight_decay"],
        "embedding_size": settings["embedding_size"],
        "mlp_hidden_size": list(hidden_widths(settings)),
        "dropout_prob": settings["dropout"],
        "train_batch_size": settings["batch_size"],
    }
    config = Config(model="DeepFM", dataset=_NAME, config_dict=values)
    logging.disable(logging.CRITICAL)
    return config


def _numbered(dataset, kinds):
    """A part's pairs by RecBole's own numbers, 0 for what it has not met."""
    found = {}
    for name, values in {**kinds["token"], **kinds["token_seq"]}.items():
        tokens = dataset.field2id_token[name]
        numbers = np.zeros(max(int(values.max(initial=0)), *(int(token) for token in tokens[1:])) + 1, np.int64)
        numbers[tokens[1:].astype(int)] = np.arange(1, len(tokens))
        found[name] = torch.as_tensor(numbers[values])
    for name in kinds["token_seq"]:
        # The values of a row come first.
        found[name] = torch.sort(found[name], dim=1, descending=True).values
    for name, values in kinds["float"].items():
        # RecBole keeps the number of the embedding beside each value.
        found[name] = torch.as_tensor(np.stack([values, np.ones_like(values)], axis=1))
    return Interaction(found)


SETTINGS = {**learning(2048), "weight_decay": Setting(0.0, [0.0, 1e-6, 1e-5, 1e-4])}
PEERS = {"recbole_deepfm": RankingPeer(train, SETTINGS, at_width, in_one_call)}

if __name__ == "__main__":
    main(PEERS)
