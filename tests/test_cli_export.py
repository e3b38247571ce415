"""What `mmrec index` reads from the file of items to remove."""

import pytest

from mmrec_tf import cli_export, run, workflow


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte order mark"])
def test_the_first_id_to_remove_is_whole(tmp_path, monkeypatch, mark):
    asked = []

    class OpenRun:
        def __init__(self, folder, progress):
            pass

        def index(self, add, remove, progress):
            asked.extend(remove)
            return {}

    monkeypatch.setattr(run.Run, "open", lambda folder: None)
    monkeypatch.setattr(workflow, "OpenRun", OpenRun)
    (tmp_path / "gone.txt").write_text(f"{mark}caf\u00e9\n\n 7 \n", encoding="utf-8")
    cli_export.run_index(tmp_path, None, tmp_path / "gone.txt")
    assert asked == ["caf\u00e9", "7"]
