"""Names, order and folders of stages."""

import numpy as np

from mmrec_tf.pretraining.running import KEPT, leave_stages, named_stages, prune_stages, stages_folder
from tests import tiny_world


def config(*stages, **sections):
    return tiny_world.config(pretraining=list(stages), **sections)


def saved(folder, *names):
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "state.json").write_text("{}")


def test_each_occurrence_has_a_name_of_its_own():
    stages = config("denoising", "masked_item", {"stage": "denoising", "epochs": 2}, "denoising").pretraining
    found = dict(named_stages(stages, ("denoising", "cross_modal")))
    assert list(found) == ["denoising", "denoising-2", "denoising-3"]
    assert found["denoising-2"].epochs == 2


def test_stages_lie_beside_the_vectors_that_they_are_computed_from(tmp_path):
    assert stages_folder(config(store=tmp_path / "store")) == tmp_path / "store" / "pretraining"


def test_a_few_earlier_stages_stay_and_those_of_other_kinds_all(tmp_path):
    names = [f"denoising-{number:02}" for number in range(KEPT + 4)]
    saved(tmp_path, *names, *(f"pseudo_labels-{number:02}" for number in range(KEPT + 4)))
    leave_stages(config("denoising", "denoising", "pseudo_labels"), ("denoising", "cross_modal"), tmp_path)
    left = [path.name.partition("-")[0] for path in tmp_path.iterdir()]
    # Two that are in use, and the earlier ones.
    assert left.count("denoising") == KEPT + 2 and left.count("pseudo_labels") == KEPT + 4


def test_what_follows_draws_the_same_whatever_the_stages_did():
    draws = []
    for before in (0, 5):
        np.random.random(before)
        leave_stages(config("denoising"), ("denoising",), None)
        draws.append(np.random.random())
    assert draws[0] == draws[1]


def test_without_stages_nothing_is_seeded():
    np.random.seed(1)
    before = np.random.get_state()[2]
    leave_stages(config("denoising"), ("pseudo_labels",), None)
    assert np.random.get_state()[2] == before


def test_pruning_keeps_the_latest_of_what_is_asked_for(tmp_path):
    settings = config("denoising", store=tmp_path)
    folder = stages_folder(settings)
    saved(folder, "denoising-a", "denoising-b", "masked_item-a", "masked_language-a")
    assert prune_stages(settings) == 3 * 2
    (left,) = folder.iterdir()
    assert left.name.startswith("denoising-")
    assert prune_stages(config("denoising", store=tmp_path / "none")) == 0
