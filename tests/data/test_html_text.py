"""HTML to text: tags, what nobody reads, entities by name and number; the expected texts are what a browser shows."""

import html
import unicodedata

import pytest
import tensorflow as tf

from mmrec_tf.data.html_text import without_html


def text_of(fragment):
    found = without_html(tf.constant([fragment])).numpy()[0].decode("utf-8")
    return " ".join(unicodedata.normalize("NFC", found).split())


@pytest.mark.parametrize(
    ("fragment", "expected"),
    [
        ("<p>Hello</p><p>world</p>", "Hello world"),
        ("a<br>b<br/>c<BR />d", "a b c d"),
        ("<b>H</b>ello <em class='x'>wo</em>rld H<sub>2</sub>O", "Hello world H2O"),
        ("<a href=\"x>y\" title='it'>link</a>", "link"),
        ("<img src=a.png alt=it's>after", "after"),
        ("a<script type=x>if (a < b) { '<p>' }</script>b<STYLE>p > a {}</STYLE >c", "a b c"),
        ("a<script>never closed", "a"),
        ("a<!-- <p>hidden</p>\nlines -->b<!-- open", "a b"),
        ("<![CDATA[kept]]><!DOCTYPE html><?xml version='1.0'?>", "kept"),
        ("5 < 6 and 7 > 3, a<3", "5 < 6 and 7 > 3, a<3"),
        ("I <3 you", "I <3 you"),
        ("&lt;p&gt;escaped &lt;b&gt;m&lt;/b&gt;arkup&lt;/p&gt;", "escaped markup"),
        ("&amp;lt; AT&T &amp; R&D; &unknown;", "&lt; AT&T & R&D; &unknown;"),
        ("", ""),
        ("<>", "<>"),
    ],
)
def test_fragments(fragment, expected):
    assert text_of(fragment) == expected


def test_named_entities_as_the_standard_library_has_them():
    names = "eacute Eacute agrave ocirc ntilde uuml Ouml aring Ccedil scaron szlig aelig OElig oslash eth thorn "
    names += "quot apos lsquo rdquo laquo ndash mdash hellip bull middot copy reg trade deg plusmn times frac12 "
    names += "sup2 micro euro pound yen cent sect iexcl iquest infin rarr"
    for name in names.split():
        assert text_of(f"x&{name};y") == html.unescape(f"x&{name};y")
    assert text_of("a&nbsp;b&ensp;c") == "a b c" and text_of("a&shy;b") == "ab"


@pytest.mark.parametrize(
    "entity", ["&#233;", "&#x20AC;", "&#X1f600;", "&#39;", "&#146;", "&#150;", "&#x80;", "&#8217", "&#0000065;"]
)
def test_numeric_entities_as_the_standard_library_has_them(entity):
    assert text_of(f"x{entity} y") == html.unescape(f"x{entity} y")


@pytest.mark.parametrize(
    "entity", ["&#0;", "&#7;", "&#xD800;", "&#1114112;", "&#99999999999;", "&#xFFFFFFFF;", "&#x0;"]
)
def test_numbers_of_no_character_are_spaces(entity):
    assert text_of(f"x{entity}y") == "x y"


def test_texts_of_a_batch_do_not_touch_each_other():
    fragments = ["&#65;", "", "#66 plain", "<p>&#x43;&#68;</p>", "&", "&#;"]
    found = [text.decode() for text in without_html(tf.constant(fragments)).numpy()]
    assert [text.strip() for text in found] == ["A", "", "#66 plain", "CD", "&", "&#;"]
