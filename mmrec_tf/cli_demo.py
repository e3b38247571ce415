"""`mmrec demo`: a made-up shop through exactly the code path of a user's own data."""

import json
import time
import urllib.request
from pathlib import Path

from mmrec_tf.cli_output import console, progress_bars, show_metrics, show_rows

_SHOWN_ITEMS = 8


def run_demo(folder: Path, seed: int) -> None:
    """Generates the shop, trains on it, serves it and asks the server for recommendations.

    Args:
        folder: gets `shop/` (tables and media) and `run/` (the artifact); an earlier demo there is replaced.
        seed: int. Of the shop and of the run.
    """
    from mmrec_tf.config_file import load_config
    from mmrec_tf.data.demo_shop import generate_demo_shop

    started = time.perf_counter()
    with progress_bars() as progress:
        config = load_config(generate_demo_shop(folder / "shop", seed=seed, progress=progress))
        from mmrec_tf.workflow import train_run

        run = train_run(config, folder / "run", overwrite=True, progress=progress)
    validation = run.read_json("validation.json")
    console.print(f"validation found {len(validation['problems'])} kinds of problem; see {run.folder}/validation.json")
    show_metrics(run.read_json("metrics.json"))
    user = json.loads((run.folder / "examples.json").read_text(encoding="utf-8"))[0]["user"]
    _ask_over_http(run, user)
    console.print(
        f"{time.perf_counter() - started:.0f} s in all\n"
        f"report:     {run.folder / 'report.html'}\n"
        f"ask again:  mmrec recommend {run.folder} --user {user}\n"
        f"serve it:   mmrec serve {run.folder}",
        highlight=False,
        soft_wrap=True,
    )


def _ask_over_http(run, user: str) -> None:
    from mmrec_tf.serving.server import running_server

    row = {"user_id": user, "k": _SHOWN_ITEMS, "exclude_ids": [], "history_item_ids": []}
    body = {"signature_name": "recommend", "instances": [row]}
    with running_server(run.export_folder) as url:
        endpoint = f"{url}/v1/models/recommend:predict"
        request = urllib.request.Request(
            endpoint, data=json.dumps(body).encode("utf-8"), headers={"Content-Type": "application/json"}
        )
        # Past any proxy: it would look for this machine's server on another.
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=60) as response:
            answer = json.load(response)["predictions"][0]
    catalogue = run.load_catalogue().set_index("item_id")
    rows = [
        (rank, item_id, *catalogue.loc[item_id, ["title", "category"]], score)
        for rank, (item_id, score) in enumerate(zip(answer["item_id"], answer["score"]), start=1)
        if item_id
    ]
    console.print(f"POST {endpoint}\n{json.dumps(body)}", highlight=False, soft_wrap=True)
    show_rows(f"recommendations for {user}, over HTTP", ("rank", "item_id", "title", "category", "score"), rows)
