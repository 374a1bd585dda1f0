"""A page holds everything it shows, says what it was given and nothing else."""

import base64
import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from dense_cl.report import html

EVIL = "<script>alert(\"x\")</script> & 'quotes'"


def _png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2), (10, 20, 30)).save(buffer, format="PNG")
    return buffer.getvalue()


def _page() -> str:
    return html.page(
        EVIL,
        EVIL,
        [
            html.verdict(EVIL),
            html.section(
                EVIL,
                html.paragraph(EVIL),
                html.code(EVIL),
                html.table([EVIL, "b"], [[EVIL, 1.5]], EVIL),
                html.figure(_png(), EVIL, EVIL),
            ),
        ],
        footer=EVIL,
    )


class _Reader(HTMLParser):
    """Collects tags, attributes and text; complains about tags that do not nest."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def _read(text: str) -> _Reader:
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return reader


def test_text_stays_text():
    reader = _read(_page())
    assert not reader.open
    assert "script" not in reader.tags
    assert reader.text.count(EVIL) == 12
    assert ("alt", EVIL) in reader.attributes


def test_nothing_is_loaded_from_elsewhere():
    text = _page()
    reader = _read(text)
    loaded = [v for k, v in reader.attributes if k in ("src", "href", "srcset", "data", "action")]
    assert len(loaded) == 1 and loaded[0].startswith("data:image/png;base64,")
    assert not {"link", "script", "iframe", "object"} & set(reader.tags)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    assert "url(" not in style and "@import" not in style
    assert "http:" not in text and "https:" not in text


def test_the_picture_inside_is_the_picture_given():
    (data,) = re.findall(r'src="data:image/png;base64,([^"]+)"', _page())
    assert base64.b64decode(data) == _png()


def test_accessible_basics():
    reader = _read(_page())
    assert ("lang", "en") in reader.attributes
    assert [value for name, value in reader.attributes if name == "scope"] == ["col", "col", "row"]
    assert {"main", "header", "h1", "h2", "caption", "figcaption"} <= set(reader.tags)


def test_wrong_content_is_refused():
    with pytest.raises(ValueError, match="PNG or JPEG"):
        html.figure(b"GIF89a", "caption", "description")
    with pytest.raises(ValueError, match="3 cells under 2 headers"):
        html.table(["a", "b"], [[1, 2, 3]])


def test_saving_leaves_no_part_behind(tmp_path):
    path = html.save("<p>ü</p>", tmp_path / "deep" / "report.html")
    assert path.read_text(encoding="utf-8") == "<p>ü</p>"
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert html.save("<p>", "~/pages/a.html") == tmp_path / "pages/a.html"
