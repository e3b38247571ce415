"""Modules that several tests of encoders load; making them takes seconds."""

import pytest


@pytest.fixture(scope="session")
def small_bert(tmp_path_factory):
    """Directory of a module with BERT's interface, 6 wide; its preprocessor lies beside it in `bert-preprocessor`."""
    from tools.hub_module_kinds import make_bert_modules

    folder = tmp_path_factory.mktemp("small_bert")
    make_bert_modules(folder / "bert", folder / "bert-preprocessor", dim=6)
    return folder / "bert"
