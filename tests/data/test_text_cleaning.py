"""Text cleaning: what goes, what stays in any writing system, in tf.data and in exported graphs."""

import unicodedata

import pytest
import stopwordsiso
import tensorflow as tf

from mmrec_tf.config_encoders import CleaningConfig
from mmrec_tf.data.text_cleaning import clean_texts, stop_words_of
from mmrec_tf.errors import ConfigError


def cleaned(*texts, **options):
    found = clean_texts(tf.constant(list(texts)), CleaningConfig(**options))
    return [text.decode("utf-8") for text in found.numpy()]


def test_unicode_is_composed_and_compatible():
    texts = ["ｆｕｌｌ　ｗｉｄｔｈ", "ﬁne e\u0301toile", "№ 5 ①", "x²", "ｶﾞ"]
    assert cleaned(*texts) == ["full width", "fine étoile", "No 5 1", "x2", "ガ"]
    assert cleaned(*texts) == [unicodedata.normalize("NFKC", text) for text in texts]


def test_every_writing_system_stays_as_it_is():
    texts = ["我喜欢吃苹果", "日本語のテキスト", "مرحبا بالعالم", "می\u200cخواهم", "हिन्दी में", "ภาษาไทย"]
    texts += ["Γειά σου Κόσμε", "עברית", "👨\u200d👩\u200d👧 👍🏽"]
    assert cleaned(*texts) == texts


def test_white_space_and_what_shows_nothing():
    assert cleaned(" a\t\n b\u2003c\u2028d\x00e\x07 ", "Donau\u00addampf", "\ufeffstart", "\u3000", "") == [
        "a b c d e", "Donaudampf", "start", "", "",
    ]  # fmt: skip


def test_invalid_utf_8_becomes_the_replacement_character():
    assert cleaned(b"ab\xff\xfecd", b"\xc3", b"\xed\xa0\x80x")[0] == "ab\ufffd\ufffdcd"
    assert cleaned(b"\xc3") == ["\ufffd"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see https://example.com/a?b=c&d=1#e now", "see now"),
        ("at www.shop.de/angebot.", "at ."),
        ("(HTTP://X.ORG/Y) ftp://f.org/z", "( )"),
        ("mail me@mail.example.co.uk, or mailto:a.b+c@d.org!", "mail , or !"),
        ("访问https://a.com/x看看", "访问 看看"),
        ("Node.js and 3.5 @home", "Node.js and 3.5 @home"),
    ],
)
def test_addresses(text, expected):
    assert cleaned(text) == [expected]
    assert cleaned(text, strip_urls=False) == [text]


def test_lower_case_in_utf_8():
    # With the final form of sigma, as Python has it.
    assert cleaned("ÄÖÜ ΣΊΣΥΦΟΣ ЖУК Straße", lower=True) == ["äöü σίσυφος жук straße"]
    assert cleaned("ÄÖÜ") == ["ÄÖÜ"]


def test_stop_words_of_one_and_several_languages():
    assert cleaned("The quick brown fox and the dog", stop_words=["en"]) == ["quick brown fox dog"]
    assert cleaned("Der schnelle Fuchs, the quick fox", stop_words=["en", "de"]) == ["schnelle Fuchs, quick fox"]
    # Whatever the case, the punctuation and the apostrophe.
    assert cleaned("It isn’t “THE” (fox), isn't it?", stop_words="en") == ["(fox),"]
    assert cleaned("и это синяя птица", stop_words=["ru"]) == ["синяя птица"]


def test_a_text_of_stop_words_alone_stays():
    assert cleaned("It", "The Who", "", stop_words=["en"]) == ["It", "The Who", ""]


def test_stop_words_are_the_package_s():
    assert set(stop_words_of(("fr",))) == {word.lower().replace("’", "'") for word in stopwordsiso.stopwords("fr")}
    assert stop_words_of(()) == ()


@pytest.mark.parametrize(("code", "nearest"), [("eng", "en"), ("dee", "de")])
def test_an_unknown_language_names_the_nearest(code, nearest):
    with pytest.raises(ConfigError, match=f"{code!r}.*ISO 639-1.*Did you mean '{nearest}'"):
        cleaned("a", stop_words=[code])


def test_the_first_words_are_kept():
    assert cleaned("one  two\nthree four", "one", "", max_words=3) == ["one two three", "one", ""]
    # Stop words are gone before words are counted.
    assert cleaned("The fox and the dog barked", stop_words=["en"], max_words=2) == ["fox dog"]


def test_the_order_of_the_steps():
    text = "<p>The &lt;b&gt;Ｆｏｘ&lt;/b&gt; at https://x.org/ &amp; <i>D</i>ogs</p>"
    assert cleaned(text, lower=True, stop_words=["en"], max_words=3) == ["fox & dogs"]
    assert cleaned("<b>x</b>", strip_html=False) == ["<b>x</b>"]


def test_in_a_dataset_and_in_a_reloaded_graph(tmp_path):
    options = CleaningConfig(stop_words=["en"], lower=True, max_words=4)
    texts = ["<p>The F&ouml;x</p>", "A quick brown dog jumps over it", "", "&#128512;"]
    expected = ["föx", "quick brown dog jumps", "", "😀"]
    dataset = tf.data.Dataset.from_tensor_slices(texts).batch(3).map(lambda batch: clean_texts(batch, options))
    assert [text.decode() for batch in dataset.as_numpy_iterator() for text in batch] == expected

    module = tf.Module()
    module.clean = tf.function(
        lambda batch: clean_texts(batch, options), input_signature=[tf.TensorSpec([None], tf.string)]
    )
    tf.saved_model.save(module, str(tmp_path / "module"))
    again = tf.saved_model.load(str(tmp_path / "module"))
    assert [text.decode() for text in again.clean(tf.constant(texts)).numpy()] == expected
    assert again.clean(tf.constant([], tf.string)).shape == (0,)
    operations = {operation.type for operation in module.clean.get_concrete_function().graph.get_operations()}
    # No table that an exporter would have to carry along, and of TF.Text the normalisation alone.
    assert not {name for name in operations if "Hash" in name and "Table" in name}
    assert "NormalizeUTF8" in operations and not {name for name in operations if "TFText" in name or "PyFunc" in name}
