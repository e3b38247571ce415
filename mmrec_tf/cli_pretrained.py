"""`mmrec pretrained`: lists and builds the pretrained encoders whose weights come with Python packages."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from mmrec_tf.cli_output import console, progress_bars, show_rows

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

    rows = [
        (name, declared.modality, declared.dim, declared.licence, "yes" if built_path(name, cache).is_dir() else "no")
        for name, declared in PRETRAINED.items()
    ]
    show_rows("pretrained encoders", ("name", "takes", "width", "licence", "built"), rows)
    console.print(f"cache: {cache or default_cache()}", highlight=False, soft_wrap=True)


@pretrained_app.command("build")
def build_modules(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="As listed, or all.")],
    cache: CacheFolder = None,
):
    """Fetch, convert and check encoders; print the directory of each, for `encoders: {FEATURE: {path: DIR}}`."""
    from mmrec_tf.encoders.pretrained.build import build_pretrained, find_pretrained
    from mmrec_tf.encoders.pretrained.registry import PRETRAINED

    wanted = list(PRETRAINED) if names == ["all"] else list(dict.fromkeys(names))
    # A slip in the last name is better told before the first is downloaded.
    for name in wanted:
        find_pretrained(name)
    with progress_bars() as progress:
        paths = [build_pretrained(name, cache, progress) for name in wanted]
    for name, path in zip(wanted, paths):
        console.print(f"{name}: {path}", highlight=False, soft_wrap=True)
