"""A report as one HTML file that needs nothing else."""

import base64
import html
from collections.abc import Sequence

from data_pipelines.doctor.findings import RELIABLE, Finding, Report
from data_pipelines.doctor.measures import Measures

_NAMES_SHOWN = 40
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em; color: #222 }
table { border-collapse: collapse; width: 100% } td, th { padding: .3em .6em; text-align: left;
vertical-align: top; border-bottom: 1px solid #ddd } .error { color: #b00020 } .warning { color: #9a5b00 }
.note { color: #555 } figure { display: inline-block; margin: .4em } figcaption { font-size: 12px;
max-width: 24em; overflow-wrap: anywhere } img { border-radius: 3px } small { overflow-wrap: anywhere }
@media (prefers-color-scheme: dark) { body { background: #161616; color: #ddd } td, th { border-color: #333 }
.error { color: #ff8a80 } .warning { color: #ffc46b } .note { color: #aaa } }
"""


def report_page(report: Report, *, title: str, count: int = 24) -> str:
    """Return the page: findings as a table, then pictures of the pairs found fault with, then of others.

    Args:
      report: from `findings.examine`.
      title: what was looked at.
      count: number of pictures.
    """
    named = {name for finding in report.findings if finding.level != "note" for name in finding.names}
    faulty = [pair for pair in report.pairs if pair.name in named]
    others = [pair for pair in report.pairs if pair.name not in named]
    shown = _spread(faulty, count // 2)
    shown += _spread(others, count - len(shown))
    rows = "".join(_row(finding) for finding in report.findings)
    figures = "".join(_figure(pair) for pair in shown)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style>"
        f"<h1>{html.escape(title)}</h1><p>{len(report.pairs)} pairs.</p>"
        f"<table><tr><th>level<th>finding<th>pairs<th>detail</tr>{rows}</table>"
        f"<h2>Pairs</h2><p>Visible and infrared; those found fault with come first.</p>{figures}</html>\n"
    )


def _row(finding: Finding) -> str:
    names = ", ".join(finding.names[:_NAMES_SHOWN])
    rest = len(finding.names) - _NAMES_SHOWN
    more = f" and {rest} more" if rest > 0 else ""
    return (
        f'<tr><td class="{finding.level}">{finding.level}<td>{html.escape(finding.title)}'
        f"<td>{len(finding.names) or ''}<td>{html.escape(finding.detail)}"
        f"<br><small>{html.escape(names)}{more}</small></tr>"
    )


def _figure(pair: Measures) -> str:
    down, right = pair.shift
    shift = f", shift {down:.0f}, {right:.0f}" if pair.shift_confidence >= RELIABLE else ""
    picture = base64.b64encode(pair.picture).decode("ascii")
    caption = f"{pair.name} ({pair.size[1]}x{pair.size[0]}{shift})"
    return (
        f'<figure><img alt="" src="data:image/jpeg;base64,{picture}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _spread(pairs: Sequence[Measures], count: int) -> list[Measures]:
    """Return up to `count` pairs at even distances."""
    count = min(count, len(pairs))
    return [pairs[index * len(pairs) // count] for index in range(count)]
