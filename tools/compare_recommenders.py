"""Every collaborative, content-based and hybrid recommender on one data set, in one table.

    python tools/compare_recommenders.py data/movies/config.yaml
    python tools/compare_recommenders.py data/movies/config.yaml --set split.method=temporal --tune --minutes 5

Each is fitted on the training part alone, asked at the moment of the first interaction that each user is to find, and
judged on the test part by the package's evaluator. With --tune, settings are chosen on the validation part first, with
the same budget for each; the seconds are those of the one fit that is judged, by the clock and of all cores together. A
model that the data cannot feed is left out with the reason.
"""

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="key=value", help="as in mmrec train")
    parser.add_argument("--models", nargs="*", help="by name; all of them by default")
    parser.add_argument("--tune", action="store_true", help="choose settings on the validation part")
    parser.add_argument("--minutes", type=float, default=5.0, help="budget of each model's choice (default: 5)")
    arguments = parser.parse_args()

    import pandas as pd

    from mmrec_tf.cli_output import console, show_rows
    from mmrec_tf.config_file import load_config
    from mmrec_tf.data.validation import load_data
    from mmrec_tf.errors import MmrecError
    from mmrec_tf.evaluation.choose_settings import choose_settings
    from mmrec_tf.evaluation.comparison import baseline_scorers, compare, format_metric
    from mmrec_tf.evaluation.evaluation_set import build_evaluation_set
    from mmrec_tf.evaluation.training_data import asking_times, known_interactions, training_data
    from mmrec_tf.features.prepared import prepare
    from mmrec_tf.models.hybrid_blend import HybridBlend
    from mmrec_tf.models.recommenders import build_recommender, recommender_class, recommender_names

    try:
        config = load_config(arguments.config, overrides=arguments.set)
        data, _ = load_data(config)
        prepared = prepare(data, config)
    except MmrecError as error:
        print(error, file=sys.stderr)
        return 2
    training = training_data(prepared)
    split = prepared.split
    before = pd.concat([split.train, split.validation])
    users = build_evaluation_set(prepared.data, before, split.test, split.train)
    known = known_interactions(prepared, before)
    times = asking_times(prepared, users, split.test)
    rows, notes, chosen_settings = [], [], {}
    for name in arguments.models or recommender_names():

        def build(name=name, **settings):
            return build_recommender(name, config.seed, **settings)

        try:
            if arguments.tune and recommender_class(name).SEARCH:
                chosen = choose_settings(build, recommender_class(name).SEARCH, training, arguments.minutes)
                notes.append(f"{name}: {_settings(chosen.settings)}, of {len(chosen.trials)} tried{_edge(chosen)}")
                model = build(**chosen.settings)
                chosen_settings[name] = chosen.settings
            elif name == "hybrid" and chosen_settings:
                # The parts that it has by default, each with its chosen settings.
                parts = {
                    part: build_recommender(part, config.seed, **chosen_settings.get(part, {}))
                    for part in HybridBlend(seed=config.seed).default_components(training)
                }
                model = build(components=parts)
            else:
                model = build()
            wall, cores = time.perf_counter(), time.process_time()
            model.fit(training)
            wall, cores = time.perf_counter() - wall, time.process_time() - cores
            model.bring_up_to_date(known)
        except MmrecError as error:
            console.print(f"{name} is left out: {error}", soft_wrap=True)
            continue
        if name == "recent_popularity":
            notes.append(f"{name}: half_life {model.chosen_half_life:g}, chosen by itself")
        if name == "hybrid":
            notes.append(f"{name}: {_settings(model.weights)}, validation NDCG {model.score_found:.4f}")
        scorers = baseline_scorers({name: model}, users, times)
        groups = compare(scorers, users, [10, 20], config.evaluation.batch_size).groups
        values = [format_metric(key, groups["all"][name][key]) for key in ("ndcg@10", "recall@20")]
        cold = format_metric("recall@20", groups["cold_items"][name]["recall@20"])
        rows.append([name, *values, cold, f"{wall:.1f}", f"{cores:.1f}"])
        console.print(*rows[-1], soft_wrap=True)
    header = ["model", "NDCG@10", "Recall@20", "cold Recall@20", "seconds", "core seconds"]
    show_rows(f"{config.name}: {len(users):,} users, {users.item_count:,} items, {config.split.method}", header, rows)
    for note in notes:
        console.print(note, soft_wrap=True)
    return 0


def _settings(values):
    return ", ".join(f"{name} {value:.3g}" for name, value in values.items())


def _edge(chosen):
    return f"; at the edge: {', '.join(chosen.at_edge)}" if chosen.at_edge else ""


if __name__ == "__main__":
    sys.exit(main())
