import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from scipy.sparse import csr_matrix

from mmrec_tf.evaluation.comparison import compare
from mmrec_tf.evaluation.evaluation_set import EvaluationSet
from mmrec_tf.evaluation.report import write_report

VALIDATION = {
    "ok": False,
    "rows": {"items": {"read": 1200, "kept": 1200}, "users": {"read": 9, "kept": 11}},
    "problems": [
        {"kind": "missing_media", "table": "items", "column": "photo", "count": 1234, "row": 7, "value": "a.jpg",
         "remedy": "Put the file there.", "action": "kept", "affected": 1234},
        {"kind": "missing_column", "table": "users", "column": "age", "count": 1, "row": None, "value": "",
         "remedy": "Add the column.", "action": "noted", "affected": 0},
    ],
}  # fmt: skip


def _comparison(ours=((1, 2), (3, 0)), cold=(3,)):
    users = EvaluationSet(
        user_rows=np.array([0, 1]),
        profiles=csr_matrix((2, 4), dtype="float32"),
        relevant=csr_matrix(np.array([[0, 1, 0, 0], [0, 0, 0, 1]], dtype="float32")),
        is_cold_item=np.isin(np.arange(4), cold),
        is_warm_user=np.array([True, True]),
    )
    return compare({"popularity": np.array([[1, 0], [0, 1]]), "two_tower": np.array(ours)}, users, [1, 2]).to_dict()


def _write(folder, **changed):
    arguments = {
        "title": "Demo shop",
        "facts": {"users": 2000, "split": "leave_one_out", "modalities": {"photo": "92% present"}},
        "metrics": {"comparison": _comparison(), "ranker": {"auc": 0.8123, "log_loss": None}},
        "validation": VALIDATION,
        "history": {"retrieval": {"loss": [3.0, 2.0]}, "ranking": {}},
        "examples": [],
    }
    path = folder / "report.html"
    write_report(path, **{**arguments, **changed})
    return path.read_text(encoding="utf-8")


class _Checker(HTMLParser):
    """Tags that open and close in step, and what they hold."""

    VOID = {"meta", "img", "wbr", "br", "link", "hr"}

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


def _photo(mode="RGB", size=(400, 200), colour=(200, 30, 30), kind="PNG"):
    written = io.BytesIO()
    Image.new(mode, size, colour).save(written, kind)
    return written.getvalue()


def _item(**changed):
    return {"item_id": "i1", "title": "Lamp", "category": "light", "picture": None, **changed}


def test_page_is_whole_and_needs_nothing_from_outside(tmp_path):
    page = _write(tmp_path, examples=[{"user": "u", "history": [], "recommendations": [_item(picture=_photo())]}])
    checked = _Checker(page)
    assert checked.open == []
    sources = [attributes["src"] for _, attributes in checked.tags if "src" in attributes]
    # Bars for all users and for cold items, one training curve (ranking logged nothing), one photo.
    assert len(sources) == 4
    assert all(source.startswith("data:image/") for source in sources)
    assert not re.search(r"https?://", page)
    assert not [tag for tag, _ in checked.tags if tag in ("script", "link")]
    assert list(tmp_path.iterdir()) == [tmp_path / "report.html"]


def test_reliability_is_drawn_where_there_are_chances(tmp_path):
    ranker = {"auc": 0.8, "log_loss": 0.4, "calibration_error": 0.0123, "uncalibrated_log_loss": 0.5}
    metrics = {"comparison": _comparison(), "ranker": ranker}
    curves = {"calibrated": [[0.1, 0.2, 5], [0.5, 0.4, 5]]}
    with_curves = _Checker(_write(tmp_path, metrics={**metrics, "reliability": curves}))
    assert sum("Reliability" in attributes.get("alt", "") for _, attributes in with_curves.tags) == 1
    assert "Calibration error" in with_curves.text and "0.0123" in with_curves.text
    assert "Uncalibrated log loss" in with_curves.text
    for nothing in ({}, {"calibrated": []}):
        page = _Checker(_write(tmp_path, metrics={**metrics, "reliability": nothing}))
        assert not any("Reliability" in attributes.get("alt", "") for _, attributes in page.tags)


def test_headline_and_cards_by_hand(tmp_path):
    # Recall@1: both of ours are first, popularity has one of two. Chance shows one of four unseen items.
    text = _Checker(_write(tmp_path)).text
    assert "Two tower is 100.0% ahead of popularity, the best baseline, in NDCG@1 over 2 test users" in text
    assert "1.0000 Recall@1 popularity 0.5000" in text
    assert "4.0x chance, for new items" in text
    assert "0.8123 Ranker's AUC" in text


@pytest.mark.parametrize(
    ("ours", "words"),
    [
        (((0, 1), (1, 0)), "100.0% behind popularity"),
        (((1, 0), (2, 0)), "level with popularity"),
    ],
)
def test_headline_does_not_flatter(tmp_path, ours, words):
    text = _Checker(_write(tmp_path, metrics={"comparison": _comparison(ours)})).text
    assert f"Two tower is {words}, the best baseline" in text


def test_tables_mark_ours_and_the_best(tmp_path):
    page = _write(tmp_path)
    rows = re.findall(r"<tr( class=\"ours\")?>\s*<td>(popularity|two tower)</td>(.*?)</tr>", page, re.DOTALL)
    # Three groups with users (none is new), two cut-offs each.
    assert [bool(mark) for mark, _, _ in rows] == [False, True] * 6
    assert re.findall(r'<td class="best">([^<]*)</td>', rows[1][2])[0] == "1.0000"
    assert "best" not in rows[0][2].split("</td>")[0]


def test_groups_without_users_are_left_out(tmp_path):
    text = _Checker(_write(tmp_path, metrics={"comparison": _comparison(cold=())})).text
    assert "Cold items" not in text
    assert "New users" not in text
    assert "Warm users (with interactions in training): 2 users" in text


def test_validation_is_told(tmp_path):
    text = _Checker(_write(tmp_path)).text
    assert "Items: 1,200 rows read, 1,200 kept" in text
    assert "9 rows read, 11 kept (2 added from the interactions)" in text
    assert "Missing media items. photo 1,234 rows, kept Row 7: a.jpg Put the file there." in text
    # Without a row there is no example; what was done to fewer rows than have the problem says to how many.
    assert "Missing column users. age 1 row, noted Add the column." in text
    jingle = {**VALIDATION["problems"][0], "feature": "jingle", "action": "dropped", "affected": 4}
    text = _Checker(_write(tmp_path, validation={**VALIDATION, "problems": [jingle]})).text
    assert "items. photo (jingle) 1,234 rows, dropped 4 Row 7" in text
    assert "No problems found" not in text
    clean = {"ok": True, "rows": {}, "problems": []}
    assert "No problems found." in _Checker(_write(tmp_path, validation=clean)).text


def test_facts_are_readable(tmp_path):
    text = _Checker(_write(tmp_path)).text
    assert "Users 2,000" in text
    assert "Split leave one out" in text
    assert "Modalities photo 92% present" in text


def test_pictures_are_small_and_keep_their_shape(tmp_path):
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(_photo(kind="JPEG"))
    page = _write(tmp_path, examples=[{"user": "u", "history": [_item(picture=str(photo))], "recommendations": []}])
    encoded = re.search(r"data:image/jpeg;base64,([^\"]+)", page).group(1)
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        assert image.size == (144, 72)
        red, green, blue = image.getpixel((70, 30))
    assert red > 180 and green < 60 and blue < 60


def test_a_transparent_picture_lies_on_white(tmp_path):
    clear = _photo("RGBA", (50, 50), (0, 0, 0, 0))
    page = _write(tmp_path, examples=[{"user": "u", "history": [], "recommendations": [_item(picture=clear)]}])
    encoded = re.search(r"data:image/jpeg;base64,([^\"]+)", page).group(1)
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        assert min(image.getpixel((25, 25))) > 250


@pytest.mark.parametrize("picture", [None, "", b"not a picture", _photo()[:60], "/nowhere/photo.jpg"])
def test_an_item_without_a_usable_picture_gets_a_tile(tmp_path, picture):
    page = _write(tmp_path, examples=[{"user": "u", "history": [], "recommendations": [_item(picture=picture)]}])
    assert re.search(r'<span class="blank" style="--hue: \d+" aria-hidden="true">L</span>', page)
    assert "data:image/jpeg" not in page


def test_what_users_wrote_is_escaped(tmp_path):
    evil = "<script>alert('x')</script>"
    item = _item(title=evil, category=evil, score=0.5, is_new=True)
    page = _write(
        tmp_path,
        title=evil,
        facts={evil: evil},
        validation={**VALIDATION, "problems": [{**VALIDATION["problems"][0], "value": evil, "remedy": evil}]},
        history={evil: {"loss": [1.0]}},
        examples=[{"user": evil, "history": [item], "recommendations": [item]}],
    )
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 8


def test_a_failure_leaves_the_earlier_page(tmp_path, monkeypatch):
    earlier = _write(tmp_path)

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        _write(tmp_path, title="Another")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == earlier
    assert list(tmp_path.iterdir()) == [tmp_path / "report.html"]


def test_the_same_run_gives_the_same_page(tmp_path):
    assert _write(tmp_path) == _write(tmp_path)
