"""What a catalogue takes in memory, and the plot of growth."""

from pathlib import Path


def computed_megabytes(spec: dict) -> float:
    """What the tables of a model on ids alone take: each trained number three times, with Adam's moments, and the rest.

    Per item: `dim` numbers of its embedding and one of its popularity, which are trained; its index, its share of the
    examples for the loss, and the same for the negatives. All of 4 bytes.
    """
    per_user, per_item = 3 * spec["dim"] + 1, 3 * (spec["dim"] + 1) + 3
    return 4 * (per_user * (spec["users"] + 1) + per_item * (spec["items"] + 1)) / 2**20


def plot_growth(rows: dict[int, dict], path: Path) -> None:
    """Time per example and memory over the number of items, in one PNG.

    Args:
        rows: items -> `cpu` (seconds per example), `resident_mb` and `computed_mb`.
        path: the file.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    items = sorted(rows)
    first = rows[items[0]]
    figure, (time_axis, memory_axis) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    times = [1e6 * rows[count]["cpu"] for count in items]
    time_axis.plot(items, times, marker="o")
    time_axis.set(
        xscale="log", ylim=(0, 1.2 * max(times)), xlabel="items", ylabel="CPU microseconds per example", title="Time"
    )
    measured = [rows[count]["resident_mb"] - first["resident_mb"] + first["computed_mb"] for count in items]
    memory_axis.plot(items, measured, marker="o", label="measured while training, without the program")
    memory_axis.plot(items, [rows[count]["computed_mb"] for count in items], ls="--", label="computed")
    memory_axis.set(xscale="log", yscale="log", xlabel="items", ylabel="MB", title="Memory of the tables")
    memory_axis.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
