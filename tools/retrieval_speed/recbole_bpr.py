"""Trains RecBole's BPR by its own trainer, and times its epochs. Runs where RecBole is installed."""

import logging
import os
from pathlib import Path

import torch
from interactions import interactions
from processes import answer, clocks, quickest
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_seed

NAME = "made_up"


def train(spec: dict) -> dict:
    """Seconds per interaction of the quickest epoch after the first.

    Args:
        spec: dict with `users`, `items`, `interactions`, `dim`, `batch` and `epochs`.
    """
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    users, items = interactions(spec["users"], spec["items"], spec["interactions"])
    folder = Path.cwd()
    (folder / NAME).mkdir()
    with open(folder / NAME / f"{NAME}.inter", "w", encoding="utf-8") as file:
        file.write("user_id:token\titem_id:token\n")
        file.writelines(f"{user}\t{item}\n" for user, item in zip(users, items))
    config = Config(
        model="BPR",
        dataset=NAME,
        config_dict={
            "data_path": str(folder),
            "checkpoint_dir": str(folder / "saved"),
            "use_gpu": False,
            "show_progress": False,
            "state": "ERROR",
            "load_col": {"inter": ["user_id", "item_id"]},
            "eval_args": {"split": {"RS": [1.0, 0.0, 0.0]}, "order": "RO", "group_by": None, "mode": "full"},
            "embedding_size": spec["dim"],
            "train_batch_size": spec["batch"],
            "epochs": spec["epochs"] + 1,
        },
    )
    logging.disable(logging.CRITICAL)
    init_seed(0, True)
    dataset = create_dataset(config)
    batches = data_preparation(config, dataset)[0]
    model = get_model("BPR")(config, batches._dataset)
    trainer = get_trainer(config["MODEL_TYPE"], "BPR")(config, model)
    moments = []
    train_epoch = trainer._train_epoch

    def timed(*arguments, **options):
        moments.append(clocks())
        return train_epoch(*arguments, **options)

    trainer._train_epoch = timed
    trainer.fit(batches, None, verbose=False, saved=False)
    moments.append(clocks())
    return quickest(moments[1:], len(users))


if __name__ == "__main__":
    answer(train)
