"""One HTML file that holds everything it shows: no script, no network, no second file.

Every function returns a string of HTML; text is escaped, so that names of files and classes may
hold anything. ``page`` puts them together.
"""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

_SIGNATURES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg"}

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --quiet: #5a6675; --paper: #ffffff;
  --card: #f4f6f9; --line: #d9dfe7; --accent: #1f6feb; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9f0; --quiet: #9aa7b8; --paper: #12161c;
  --card: #1b2129; --line: #303946; --accent: #6ea8fe; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main, header > div { max-width: 60rem; margin: 0 auto; padding: 0 1.25rem; }
header { border-bottom: 1px solid var(--line); background: var(--card); padding: 2rem 0 1.25rem; }
h1 { margin: 0; font-size: 1.9rem; line-height: 1.25; }
h2 { margin: 2.75rem 0 .5rem; font-size: 1.3rem; }
p { margin: .6rem 0; } .lead { color: var(--quiet); }
.verdict { border-left: 4px solid var(--accent); background: var(--card); margin: 1.5rem 0;
  padding: .75rem 1.1rem; border-radius: 0 6px 6px 0; font-size: 1.08rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; min-width: 20rem; }
caption { text-align: left; color: var(--quiet); font-size: .92rem; padding-bottom: .4rem; }
th, td { text-align: right; padding: .35rem .9rem; border-bottom: 1px solid var(--line);
  font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
thead th { color: var(--quiet); font-weight: 600; font-size: .92rem; }
tbody th { font-weight: 500; }
figure { margin: 1.25rem 0; }
figure img { display: block; max-width: 100%; height: auto; border: 1px solid var(--line);
  border-radius: 6px; background: #fff; }
figcaption { color: var(--quiet); font-size: .92rem; margin-top: .45rem; max-width: 48rem; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 6px;
  padding: .8rem 1rem; overflow-x: auto; font-size: .88rem; line-height: 1.5; }
code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
footer { color: var(--quiet); font-size: .88rem; margin: 3rem 0 2rem; }
""".strip()


def page(title: str, lead: str, blocks: Sequence[str], footer: str = "") -> str:
    """Return a whole document.

    Args:
        title: heading and name of the page, as text.
        lead: a sentence below the heading, as text.
        blocks: HTML from the other functions, in order.
        footer: small print, as text.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE}\n</style>\n</head>\n<body>\n"
        f'<header><div><h1>{escape(title)}</h1>\n<p class="lead">{escape(lead)}</p></div></header>'
        "\n<main>\n" + "\n".join(blocks) + f"\n<footer>{escape(footer)}</footer>\n</main>\n"
        "</body>\n</html>\n"
    )


def section(heading: str, *blocks: str) -> str:
    """Return blocks under a heading."""
    return "\n".join(["<section>", f"<h2>{escape(heading)}</h2>", *blocks, "</section>"])


def paragraph(text: str) -> str:
    """Return a paragraph of text."""
    return f"<p>{escape(text)}</p>"


def verdict(text: str) -> str:
    """Return the one sentence a hurried reader should see."""
    return f'<p class="verdict" role="note">{escape(text)}</p>'


def code(text: str) -> str:
    """Return commands or code, line for line."""
    return f"<pre><code>{escape(text)}</code></pre>"


def table(
    headers: Sequence[str], rows: Sequence[Sequence[str | float | int]], caption: str = ""
) -> str:
    """Return a table whose first column names the rows.

    Args:
        headers: one per column, the first one included.
        rows: cells; numbers should come formatted as they are to be read.
        caption: what the table is.
    """
    wrong = [row for row in rows if len(row) != len(headers)]
    if wrong:
        raise ValueError(f"a row of {len(wrong[0])} cells under {len(headers)} headers: {wrong[0]}")
    head = "".join(f'<th scope="col">{escape(header)}</th>' for header in headers)
    body = "\n".join(
        f'<tr><th scope="row">{escape(str(name))}</th>'
        + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells)
        + "</tr>"
        for name, *cells in rows
    )
    title = f"<caption>{escape(caption)}</caption>\n" if caption else ""
    return (
        f'<div class="scroll"><table>\n{title}<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def figure(image: bytes, caption: str, description: str) -> str:
    """Return a picture inside the page.

    Args:
        image: content of a PNG or JPEG file.
        caption: shown below it.
        description: what it shows, for those who cannot see it.
    """
    kind = next((k for start, k in _SIGNATURES.items() if image.startswith(start)), None)
    if kind is None:
        raise ValueError("a figure is the content of a PNG or JPEG file")
    data = base64.b64encode(image).decode("ascii")
    return (
        f'<figure><img src="data:{kind};base64,{data}" alt="{escape(description)}">\n'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def save(html: str, file: str | Path) -> Path:
    """Write a page and return its path; a reader never sees half of it."""
    path = Path(file).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(path.suffix + ".part")
    part.write_text(html, encoding="utf-8")
    return part.replace(path)
