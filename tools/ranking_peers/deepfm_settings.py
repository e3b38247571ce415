"""What is tuned of the DeepFM of every library, by that library's own names."""

from __future__ import annotations

from ranker_run import Setting


def learning(batch_size: int) -> dict[str, Setting]:
    """What matters most comes first, for budgets that end early.

    Args:
        batch_size: where the search begins.
    """
    return {
        "learning_rate": Setting(0.001, [0.0003, 0.001, 0.003, 0.01]),
        "embedding_size": Setting(8, [4, 8, 16, 32]),
        "with_clock": Setting(False, [False, True]),
        "dropout": Setting(0.0, [0.0, 0.2, 0.5], high=0.9),
        "batch_size": Setting(batch_size, [256, 512, 1024, 2048, 4096]),
        "hidden": Setting(128, [64, 128, 256]),
    }


def at_width(widths: dict) -> dict:
    """Settings of our ranker's size; see `RankingPeer`."""
    return {"embedding_size": widths["dim"], "layers": widths["hidden"], "batch_size": widths["batch_size"]}


def hidden_widths(settings: dict) -> tuple[int, ...]:
    """Those of the deep network: two layers or more, `hidden` and its halves down to 64; `layers` where it is given."""
    if "layers" in settings:
        return tuple(settings["layers"])
    widths = [settings["hidden"], settings["hidden"] // 2]
    while widths[-1] >= 128:
        widths.append(widths[-1] // 2)
    return tuple(widths)
