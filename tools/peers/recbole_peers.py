"""BPR, LightGCN, SASRec and EASE of RecBole, through its own datasets, samplers and trainer."""

import logging
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from peer_run import Peer, main
from peer_search import Setting
from peer_task import threads
from recbole.config import Config
from recbole.data import create_dataset
from recbole.data.utils import create_samplers, get_dataloader
from recbole.utils import get_model, get_trainer, init_seed

_NAME = "train"


def trained(model_name, most_passes, chunk, fixed=None):
    """A peer's generator for a RecBole model: some epochs of its trainer at a time."""

    def train(split, settings, seed):
        torch.set_num_threads(max(1, threads()))
        folder = Path(tempfile.mkdtemp(prefix="recbole"))
        try:
            yield from _train(split, {**(fixed or {}), **settings}, seed, folder, model_name, most_passes, chunk)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    return train


def _train(split, settings, seed, folder, model_name, most_passes, chunk):
    config = _config(split, settings, seed, folder, model_name)
    init_seed(seed, True)
    dataset = create_dataset(config)
    built = dataset.build()
    sampler, _, _ = create_samplers(config, dataset, built)
    batches = get_dataloader(config, "train")(config, built[0], sampler, shuffle=True)
    model = get_model(model_name)(config, batches._dataset)
    trainer = get_trainer(config["MODEL_TYPE"], model_name)(config, model)
    ids = _Ids(dataset, split)
    for passes in range(chunk, most_passes + 1, chunk):
        trainer.start_epoch, trainer.epochs = passes - chunk, passes
        model.train()
        trainer.fit(batches, None, verbose=False, saved=False)
        model.eval()
        yield passes, ids.scorer(model, model_name)


def _config(split, settings, seed, folder, model_name):
    # RecBole reads atomic files: a header with types, then tab-separated values.
    users, items = split.positives
    times = split.train_time[split.train_positive]
    # Equal moments keep their order; RecBole sorts without regard to it.
    order = np.arange(len(times))
    (folder / _NAME).mkdir()
    with open(folder / _NAME / f"{_NAME}.inter", "w", encoding="utf-8") as file:
        file.write("user_id:token\titem_id:token\ttimestamp:float\n")
        file.writelines(f"{user}\t{item}\t{place}\n" for user, item, place in zip(users, items, order))
    values = {
        "data_path": str(folder),
        "checkpoint_dir": str(folder / "saved"),
        "seed": seed,
        "use_gpu": False,
        "show_progress": False,
        "state": "ERROR",
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        # The split is made outside: all that RecBole sees is training.
        "eval_args": {"split": {"RS": [1.0, 0.0, 0.0]}, "order": "TO", "group_by": None, "mode": "full"},
        "train_neg_sample_args": None if settings.get("loss_type") == "CE" else _UNIFORM,
        **settings,
    }
    if "hidden_size" in settings:
        values["inner_size"] = 4 * settings["hidden_size"]
    config = Config(model=model_name, dataset=_NAME, config_dict=values)
    logging.disable(logging.CRITICAL)
    return config


_UNIFORM = {"distribution": "uniform", "sample_num": 1, "alpha": 1.0, "dynamic": False, "candidate_num": 0}


class _Ids:
    """RecBole's own numbers of users and items, which start at 1 and leave out those without training."""

    def __init__(self, dataset, split):
        self.users, self.items = np.zeros(split.n_users, int), np.zeros(split.n_items, int)
        for field, index in (("user_id", self.users), ("item_id", self.items)):
            tokens = dataset.field2id_token[field][1:]
            index[tokens.astype(int)] = np.arange(1, len(tokens) + 1)
        self.n_items = split.n_items

    def scorer(self, model, model_name):
        @torch.no_grad()
        def score(part, positions):
            if model_name == "SASRec":
                scores = self._by_sequence(model, part, positions)
            elif model_name == "EASE":
                profiles = part.liked[positions].tocoo()
                own = np.zeros((len(positions), model.n_items), np.float32)
                own[profiles.row, self.items[profiles.col]] = 1.0
                own[:, 0] = 0.0
                scores = own @ np.asarray(model.item_similarity)
            else:
                users = torch.as_tensor(self.users[part.users[positions]])
                scores = model.full_sort_predict({"user_id": users}).reshape(len(positions), -1).numpy()
            return np.where(self.items > 0, scores[:, self.items], -np.inf)

        return score

    def _by_sequence(self, model, part, positions):
        length = model.max_seq_length
        sequences = np.zeros((len(positions), length), int)
        lengths = np.ones(len(positions), int)
        for row, position in enumerate(positions):
            known = self.items[part.latest(position, length)]
            known = known[known > 0]
            sequences[row, : len(known)] = known
            lengths[row] = max(1, len(known))
        asked = {"item_id_list": torch.as_tensor(sequences), "item_length": torch.as_tensor(lengths)}
        return model.full_sort_predict(asked).numpy()


_LEARNING = {
    "learning_rate": Setting(0.001, [0.0003, 0.001, 0.003, 0.01]),
    "embedding_size": Setting(64, [32, 64, 128]),
    "train_batch_size": Setting(2048, [512, 1024, 2048, 4096]),
}

PEERS = {
    "recbole_bpr": Peer(trained("BPR", 300, 5), {**_LEARNING, "weight_decay": Setting(0.0, [0.0, 1e-6, 1e-5, 1e-4])}),
    "recbole_lightgcn": Peer(
        trained("LightGCN", 300, 5),
        {
            **_LEARNING,
            "n_layers": Setting(2, [1, 2, 3, 4]),
            "reg_weight": Setting(1e-5, [1e-6, 1e-5, 1e-4, 1e-3, 1e-2]),
        },
    ),
    "recbole_sasrec": Peer(
        trained("SASRec", 200, 1, {"loss_type": "CE"}),
        # RecBole makes a sequence of every interaction, so that a pass takes as long as the sequences are: its own
        # start of 50 would leave hardly a pass to a small budget. A dropout of 1 would leave nothing to learn from.
        {
            "learning_rate": Setting(0.001, [0.0003, 0.001, 0.003]),
            "train_batch_size": Setting(512, [256, 512, 1024, 2048]),
            "MAX_ITEM_LIST_LENGTH": Setting(20, [10, 20, 50]),
            "hidden_dropout_prob": Setting(0.5, [0.1, 0.2, 0.35, 0.5, 0.65], high=0.9),
            "attn_dropout_prob": Setting(0.5, [0.1, 0.2, 0.35, 0.5, 0.65], high=0.9),
            "hidden_size": Setting(64, [32, 64, 128]),
            "n_layers": Setting(2, [1, 2, 3]),
        },
        takes_profiles=True,
    ),
    "recbole_ease": Peer(
        trained("EASE", 1, 1), {"reg_weight": Setting(250.0, [50.0, 100.0, 250.0, 500.0, 1000.0])}, takes_profiles=True
    ),
}

if __name__ == "__main__":
    main(PEERS)
