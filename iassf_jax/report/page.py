"""The report as one file of HTML: tables, figures and before/after sliders, with nothing to load."""

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from iassf_jax.metrics import METRICS
from iassf_jax.metrics.report import shown
from iassf_jax.report.statistics import Difference
from iassf_jax.report.tables import Section, interval_text, percent, signed

_QUALITY = 88  # of JPEG in the sliders
_ARROWS = {"higher": " ↑", "lower": " ↓", "none": ""}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1200px; margin: 2em auto;
  padding: 0 1em }
h1 { font-size: 1.6em } h2 { margin-top: 2em; border-bottom: 1px solid #ccc }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 1em 0 }
th, td { padding: .25em .7em; text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
thead th { border-bottom: 2px solid #444 } tr.title td { font-style: italic; border-top: 1px solid #999 }
.wide { overflow-x: auto } .best { font-weight: bold } .second { text-decoration: underline }
.sd, .small { color: #666; font-size: .85em } td.real { background: #e4f2e7 } figure { margin: 1em 0 }
img { max-width: 100% } figcaption { color: #555; font-size: .9em }
.slider { position: relative; display: inline-block; line-height: 0; --cut: 50% }
.slider img:last-of-type { position: absolute; inset: 0; clip-path: inset(0 0 0 var(--cut)) }
.slider i { position: absolute; top: 0; bottom: 0; left: var(--cut); width: 2px;
  background: #fff; pointer-events: none }
.slider input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0;
  cursor: ew-resize }
.slider:focus-within { outline: 2px solid #0072B2 }
"""


def escaped(text: str) -> str:
    """Return text in which HTML reads no tags."""
    return html.escape(text)


def page(title: str, sections: Sequence[tuple[str, str]]) -> str:
    """Return the whole document; `sections` are headings and the HTML below them."""
    body = "\n".join(
        f"<section><h2>{html.escape(heading)}</h2>\n{text}</section>" for heading, text in sections
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{_STYLE}</style></head>\n'
        f"<body><h1>{html.escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def table(sections: Sequence[Section], metrics: Sequence[str]) -> str:
    """Return the sections as one table; the tip of a heading is the metric's definition."""
    heads = "".join(
        f'<th title="{html.escape(METRICS[m].definition)}">{html.escape(METRICS[m].title)}'
        f"{_ARROWS[METRICS[m].direction]}</th>"
        for m in metrics
    )
    lines = []
    for section in sections:
        if section.title:
            lines.append(
                f'<tr class="title"><td colspan="{len(metrics) + 1}">{html.escape(section.title)}</td></tr>'
            )
        for label in section.rows:
            cells = "".join(_cell(section, label, metric) for metric in metrics)
            lines.append(f"<tr><td>{html.escape(label)}</td>{cells}</tr>")
    return _table(heads, lines)


def comparison(found: Mapping[str, Mapping[str, Difference]], metrics: Sequence[str]) -> str:
    """Return the differences from the reference; green where seeds do not explain them."""
    heads = "".join(f"<th>{html.escape(METRICS[m].title)}</th>" for m in metrics)
    lines = []
    for label, row in found.items():
        cells = []
        for metric in metrics:
            c = row[metric].comparison
            beyond = ' class="real"' if row[metric].beyond_noise else ""
            interval = html.escape(interval_text(c).strip())
            value = signed(c.difference) if c.count else "–"
            small = f'<br><span class="small">{interval}</span>' if c.count or interval else ""
            cells.append(f"<td{beyond}>{value}{small}</td>")
        lines.append(f"<tr><td>{html.escape(label)}</td>{''.join(cells)}</tr>")
    return _table(heads, lines)


def deviations(found: Mapping[str, Mapping[str, float]], metrics: Sequence[str]) -> str:
    """Return relative deviations from published values."""
    heads = "".join(f"<th>{html.escape(METRICS[m].title)}</th>" for m in metrics)
    lines = []
    for label, row in found.items():
        cells = "".join(f"<td>{percent(row.get(m))}</td>" for m in metrics)
        lines.append(f"<tr><td>{html.escape(label)}</td>{cells}</tr>")
    return _table(heads, lines)


def grid(heading: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table of words; the first column names the lines."""
    rows = [f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in line)}</tr>" for line in lines]
    return _table("".join(f"<th>{html.escape(name)}</th>" for name in heading[1:]), rows)


def figure(path: Path, caption: str) -> str:
    """Return an image file as part of the page."""
    kind = {".png": "png", ".jpg": "jpeg"}[path.suffix]
    data = base64.b64encode(path.read_bytes()).decode()
    text = html.escape(caption)
    return (
        f'<figure><img alt="{text}" src="data:image/{kind};base64,{data}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def slider(
    name: str,
    before: tuple[str, UInt8[np.ndarray, "h w 3"]],
    after: tuple[str, UInt8[np.ndarray, "h w 3"]],
) -> str:
    """Return two images over each other; the mouse, a finger or the arrow keys move the border."""
    caption = html.escape(f"{name}: left {before[0]}, right {after[0]}")
    images = "".join(
        f'<img alt="{html.escape(label)}" src="{_jpeg(image)}">' for label, image in (before, after)
    )
    move = "this.parentNode.style.setProperty('--cut', this.value + '%')"
    return (
        f'<figure><div class="slider">{images}<i></i>'
        f'<input type="range" min="0" max="100" value="50" aria-label="{caption}" oninput="{move}"></div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _cell(section: Section, label: str, metric: str) -> str:
    entry = section.rows[label].get(metric)
    if entry is None or math.isnan(entry.mean):
        return "<td>–</td>"
    mark = {1: ' class="best"', 2: ' class="second"'}.get(section.rank(label, metric), "")
    spread = "" if math.isnan(entry.sd) else f' <span class="sd">± {entry.sd:.2g}</span>'
    return f"<td><span{mark}>{shown(entry.mean)}</span>{spread}</td>"


def _table(heads: str, lines: Sequence[str]) -> str:
    body = "\n".join(lines)
    return f'<div class="wide"><table><thead><tr><th></th>{heads}</tr></thead>\n{body}</table></div>'


def _jpeg(image: UInt8[np.ndarray, "h w 3"]) -> str:
    data = io.BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
