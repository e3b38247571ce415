"""`mmrec pretrained`: lists and builds the pretrained modules whose weights come with Python packages."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from mmrec_tf.cli_output import console, progress_bars, show_rows
from mmrec_tf.errors import EncoderError

pretrained_app = typer.Typer(
    help="Pretrained encoders from weights that Python packages carry: no TF-Hub needed.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
CacheFolder = Annotated[
    Optional[Path],
    typer.Option("--cache", metavar="DIR", help="Where to keep them: MMREC_CACHE, else ~/.cache/mmrec_tf, by default."),
]


@pretrained_app.command("list")
def list_modules(cache: CacheFolder = None):
    """What can be built, and what is."""
    from mmrec_tf.encoders.pretrained.build import built_path, default_cache
    from mmrec_tf.encoders.pretrained.registry import PRETRAINED

    rows = []
    for name, declared in PRETRAINED.items():
        is_built = (built_path(name, cache) / "saved_model.pb").is_file()
        width = declared.dim if declared.role == "encoder" else "-"
        rows.append((name, declared.modality, width, declared.licence, "yes" if is_built else "no"))
    show_rows("pretrained encoders", ("name", "takes", "width", "licence", "built"), rows)
    for name, declared in PRETRAINED.items():
        if declared.role != "encoder":
            _say(f"{name} is no encoder: it finds the {declared.role} of {declared.modality}s, for `sampling: shots`.")
    _say(f"cache: {cache or default_cache()}")


@pretrained_app.command("build")
def build_modules(
    names: Annotated[Optional[list[str]], typer.Argument(metavar="[NAME...]", help="As listed.")] = None,
    build_all: Annotated[bool, typer.Option("--all", help="All that are listed.")] = False,
    cache: CacheFolder = None,
):
    """Fetch, convert and check modules; print the directory of each.

    An encoder is used by its name, `encoders: {FEATURE: {type: NAME}}`, which builds it where it is not built yet.
    """
    from mmrec_tf.encoders.pretrained.build import build_pretrained, find_pretrained
    from mmrec_tf.encoders.pretrained.registry import PRETRAINED

    wanted = list(PRETRAINED) if build_all else list(dict.fromkeys(names or []))
    if not wanted:
        raise EncoderError(f"nothing to build: give names, or --all. There are {', '.join(PRETRAINED)}.")
    # A slip in the last name is better told before the first is downloaded.
    for name in wanted:
        find_pretrained(name)
    built = {}
    try:
        with progress_bars() as progress:
            for name in wanted:
                built[name] = build_pretrained(name, cache, progress)
    finally:
        # What is built stays, also where a later one cannot be.
        for name, path in built.items():
            _say(f"{name}: {path}")


def _say(text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)
