"""The README's own words, tried."""

import json
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import mmrec_tf

pytestmark = pytest.mark.slow

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


def test_every_public_name_loads():
    for name in mmrec_tf.__all__:
        assert callable(getattr(mmrec_tf, name)), name


def test_python_script(small_shop, tmp_path):
    script = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    assert len([line for line in script.splitlines() if line.strip()]) <= 25
    shutil.copytree(small_shop.parent, tmp_path / "demo" / "shop")
    finished = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert "Recommendation(item_id=" in finished.stdout
    assert (tmp_path / "export" / "recommend" / "1" / "saved_model.pb").is_file()


def test_curl_calls(small_run):
    # The bodies of the README's curl lines, sent to the embedded server.
    from mmrec_tf.serving.server import running_server

    calls = re.findall(r"localhost:8501(/v1/models/\S+)(?: \\\n  -d '(.*?)')?", README)
    assert len(calls) == 7
    with running_server(small_run.export_folder) as url:
        for path, body in calls:
            request = urllib.request.Request(url + path, data=body.encode() or None)
            with urllib.request.urlopen(request, timeout=60) as response:
                answer = json.load(response)
            if "recommend:predict" in path:
                assert len(answer["predictions"][0]["item_id"]) == 5
            elif "retrieval:predict" in path:
                assert len(set(answer["outputs"]["item_id"][0]) - {"P0007"}) == 5
            elif '"rank"' in body:
                assert [0.0 < score < 1.0 for score in answer["predictions"][0]] == [True, True]
            elif "ranking:predict" in path:
                assert [0.0 < score < 1.0 for score in answer["predictions"]] == [True, True]
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(url + "/v1/models/absent", timeout=60)
        assert error.value.code == 404
