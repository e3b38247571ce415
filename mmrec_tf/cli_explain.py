"""`mmrec explain`: why an item scores as it does for a user."""

import json
from pathlib import Path

from mmrec_tf.cli_output import console, errors, show_rows
from mmrec_tf.errors import MmrecError


def run_explain(run: Path, user: str, item: str, as_json: bool) -> None:
    """Shows what each part of an item makes up of its score for a user, as a table or as JSON.

    Raises:
        MmrecError: if there is no such item, or nothing exported that explains.
    """
    from mmrec_tf.run import Run

    opened = Run.open(run)
    from mmrec_tf.recommend.explanation import Explanation
    from mmrec_tf.recommend.recommender import Recommender

    recommender = Recommender.load(run)
    explanation = recommender.explain(user, item)
    if as_json:
        content = {
            "user_id": explanation.user_id,
            "item_id": explanation.item_id,
            "score": explanation.score,
            "contributions": explanation.contributions,
        }
        print(json.dumps(content, indent=2, ensure_ascii=False))
        return
    if not recommender.is_known(user):
        errors.print(f"user {user} is not known: this is the score for an average user", highlight=False, markup=False)
    shown = opened.load_catalogue().set_index("item_id").loc[item]
    what = " ".join(str(shown[name]) for name in ("title", "category") if shown[name])
    show_rows(f"{item} for {user}", Explanation.HEADER, explanation.to_rows())
    console.print(
        f"{what}\nscore {explanation.score:.4f}; a contribution is the score less the score without that part",
        highlight=False,
        markup=False,
    )


def parse_modality_weights(given: list[str] | None) -> dict[str, float] | None:
    """`["photo=2", "text=0.5"]` as `mmrec recommend --weight` takes them, as a dict; None for none.

    Raises:
        MmrecError: if one is not `NAME=NUMBER`, or a name comes twice.
    """
    weights = {}
    for text in given or ():
        name, _, number = text.rpartition("=")
        try:
            weight = float(number)
        except ValueError:
            raise MmrecError(f"--weight takes MODALITY=NUMBER such as photo=2.0, got {text!r}.") from None
        if not name or name in weights:
            raise MmrecError(f"--weight takes each modality once, as MODALITY=NUMBER; got {text!r}.")
        weights[name] = weight
    return weights or None
