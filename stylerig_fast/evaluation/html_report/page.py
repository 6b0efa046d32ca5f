"""Puts the page together: what was found, in the order in which somebody would ask."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path

from stylerig_fast.checkpoint import write_atomically
from stylerig_fast.evaluation.comparison import Row
from stylerig_fast.evaluation.html_report.parts import (
    cards,
    ends,
    figure,
    number,
    picture_grid,
    plots,
    report_table,
    table,
)
from stylerig_fast.evaluation.html_report.style import STYLE
from stylerig_fast.evaluation.html_report.svg import Series, bars, histogram, plot
from stylerig_fast.evaluation.iso_identity import Standing, verdict
from stylerig_fast.evaluation.protocol import Study
from stylerig_fast.measurement.edit_suite import LABELS, MEASURE
from stylerig_fast.measurement.range_sweep import FOUND, HIGH, LOW, LOWEST, Sweep
from stylerig_fast.measurement.statistics import Figure

FIRST = {
    "yaw.gain": "yaw: gain",
    "yaw.error": "yaw: mean error, degrees",
    "pitch.gain": "pitch: gain",
    "pitch.error": "pitch: mean error, degrees",
    "jaw.gain": "mouth opening: gain",
    "smile.smile_width_gain": "smile: gain of its width",
    "eyes.gain": "eye closing: gain",
    "brows.gain": "brow raise: gain",
    "light.gain": "light left/right: gain",
    "light.angle_median": "light: angle off, median degrees",
    "identity.yaw_15": "identity distance, yaw ±15°",
    "identity.expression": "identity distance, expression",
    "identity.light": "identity distance, light",
    "drift.yaw": "drift of what yaw should keep",
    "outside.yaw_over_style_mixing": "change around the face by yaw, over style mixing's",
    "glasses.changed_by_yaw": "glasses put on or taken off by yaw",
    "detected.share": "faces found",
    "frechet.edited_over_unedited": "Fréchet distance, edited over unedited",
}
# Beside whom the page says in words how the rig stands: the paper's comparison, the strong direction, and `--compare`.
STRONG = ("style mixing", "pattern direction", "second rig")
SECTIONS = {
    "first": "At a glance",
    "methods": "Beside the baselines",
    "witnesses": "What F says, and what the picture shows",
    "reach": "Reach",
    "pictures": "Pictures",
    "layers": "Layers and distributions",
    "all": "All figures",
    "settings": "Settings",
}


def write_page(path: Path, study: Study, settings: Mapping[str, object], network: str) -> None:
    """Writes the page, whole or not at all.

    Args:
        path: of the HTML file.
        study: what was found.
        settings: command, versions, rig: shown as they are.
        network: name of the network behind the Fréchet distance.
    """
    bodies = {
        "first": _first(study, network),
        "methods": _methods(study.rows, study.standings),
        "witnesses": _witnesses(study),
        "reach": _reach(study.sweeps),
        "pictures": "".join(f"<h3>{escape(title)}</h3>{picture_grid(grid)}" for title, grid in study.grids.items()),
        "layers": _layers(study),
        "all": _all(study),
        "settings": _settings(study, settings),
    }
    links = "".join(f'<a href="#{key}">{escape(SECTIONS[key])}</a>' for key, body in bodies.items() if body)
    content = "".join(
        f'<section id="{key}"><h2>{escape(SECTIONS[key])}</h2>{body}</section>' for key, body in bodies.items() if body
    )
    lead = (
        f"{study.plan.people} held-out people, edited and judged on the picture. "
        "Intervals are 95 % bootstrap intervals over people."
    )
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Evaluation of {escape(str(settings.get('model', 'a rig')))}</title><style>{STYLE}</style></head>"
        f"<body><main><h1>Evaluation of {escape(str(settings.get('model', 'a rig')))}</h1>"
        f'<p class="lead">{escape(lead)}</p><nav>{links}</nav>{content}</main></body></html>\n'
    )
    write_atomically(path, page.encode())


def _first(study: Study, network: str) -> str:
    missed = study.rig.missed
    verdict = f"{len(missed)} of {len(study.rig.goals)} goals are missed: {', '.join(missed)}." if missed else (
        "All goals are met."
    )  # fmt: skip
    text = (
        "Gain is the change in the picture over the change asked for: in degrees, or as the rendered face model shows "
        "it. Identity distances are dlib's, in which different people are 0.73 apart"
    )
    mirror = study.rig.figures.get("mirror.identity")
    text += "" if mirror is None else f", and a picture and its mirror image {mirror.value:.2f}"
    text += f". The Fréchet distance is on {network}."
    return f"<p>{escape(verdict)}</p><p class='soft'>{escape(text)}</p>{cards(study.rig, FIRST, study.other)}"


def _methods(rows: list[Row], found: list[Standing]) -> str:
    if not rows:
        return ""
    text = (
        "Error is the distance between the change seen and the change asked for, as a share of the latter: 1 is no "
        "edit. Drift is what the other measures moved over the change asked for, in deviations over portraits. In the "
        "plots each line is one method at several strengths of its offset; down and to the left is better."
    )
    kinds = [kind for kind in MEASURE if any(row.kind == kind for row in rows)]
    distances = [figure(LABELS[kind], _against(rows, kind, "identity", "identity distance", 0.9)) for kind in kinds]
    drifts = [figure(LABELS[kind], _against(rows, kind, "drift", "drift", 1.2)) for kind in kinds]
    tables = []
    headings = ("method", "gain", "error", "identity", "drift", "outside", "faces")
    for kind in kinds:
        chosen = [row for row in rows if row.kind == kind and row.strength in (0.0, 1.0)]
        body = [
            (
                row.method,
                *(number(f.value) for f in (row.gain, row.error, row.identity, row.drift, row.outside)),
                f"{100 * row.found:.0f} %",
            )
            for row in chosen
        ]
        tables.append(figure(LABELS[kind], table(headings, body, marked=("rig",))))
    note = "Outside: change of hair, clothes and background, mean colour difference of 0 to 1."
    return (
        f"<p>{escape(text)}</p>{_standings(found)}<h3>Error against identity distance</h3>{plots(distances)}"
        f"<h3>Error against drift</h3>{plots(drifts)}<h3>At full strength</h3>"
        f'<div class="plots wide">{"".join(tables)}</div><p class="soft">{escape(note)}</p>'
    )


def _standings(found: list[Standing]) -> str:
    """In words where the rig stands beside the strong methods, then in numbers beside all."""
    sentences = []
    for method in (name for name in STRONG if any(s.method == name for s in found)):
        of_method = [standing for standing in found if standing.method == method]
        errs = _said("errs", {LABELS[s.kind]: s.more_error for s in of_method})
        drifts = _said("drifts", {LABELS[s.kind]: s.more_drift for s in of_method})
        sentences.append(f"<li>{escape(f'Beside {method} the rig {errs}. It {drifts}.')}</li>")
    headings = (
        "edit",
        "method",
        "identity",
        "rig's error",
        "method's",
        "more by",
        "rig's drift",
        "method's",
        "more by",
    )
    body = [
        (
            LABELS[s.kind],
            s.method,
            number(s.identity),
            *(number(s.error), number(s.other_error), ends(s.more_error)),
            *(number(s.drift), number(s.other_drift), ends(s.more_drift)),
        )
        for s in found
    ]
    text = (
        "Each method is followed over its strengths to where it errs least without costing more of the person than "
        "the rig does. Less and more are said where the 95 % interval of the difference leaves no doubt."
    )
    return (
        f"<h3>At equal identity distance</h3><p>{escape(text)}</p><ul>{''.join(sentences)}</ul>"
        f"<details><summary>in numbers, beside every method</summary>{table(headings, body)}</details>"
    )


def _said(verb: str, more: Mapping[str, Figure]) -> str:
    """In which edits the rig has less and more of it."""
    parts = []
    for word, before in (("less", verb), ("more", verb), ("not told apart", "is")):
        labels = [label for label, figure in more.items() if verdict(figure) == word]
        if labels:
            parts.append(f"{before} {word} in {', '.join(labels)}")
    return "; ".join(parts)


def _against(rows: list[Row], kind: str, name: str, label: str, most: float) -> str:
    """Error of every method against another of its figures, one line per method."""
    series = []
    for colour, method in enumerate(dict.fromkeys(row.method for row in rows)):
        chosen = sorted((r for r in rows if r.method == method and r.kind == kind), key=lambda r: r.strength)
        points = [(getattr(row, name).value, row.error.value) for row in chosen]
        series.append(Series(method, points, colour=colour))
    return plot(series, label, "error", x_range=(0, most), y_range=(0, 1.1))


def _witnesses(study: Study) -> str:
    found = study.rig.figures
    names = [*study.measured.witnesses]
    kinds = [kind for kind in MEASURE if f"witness.{kind}_in_picture" in found]
    if not kinds:
        return ""
    labels = {"own": "F it was trained against", "second": "independent F"}
    groups = {labels.get(n, n): [found[f"witness.{k}_by_{n}"].value for k in kinds] for n in names}
    groups["picture"] = [found[f"witness.{k}_in_picture"].value for k in kinds]
    text = (
        "Gain of the same edits by reconstructors that look at the edited code, and in the picture. Where F says more "
    )
    text += "than the picture shows, the rig pleases F."
    return f"<p>{escape(text)}</p>" + plots([figure("Gain", bars(groups, kinds, "edit", "gain"))])


def _reach(found: list[Sweep]) -> str:
    if not found:
        return ""
    text = (
        f"A control reaches as far as its gain is not shown to leave {LOW:g} to {HIGH:g} (the band), nor faces to be "
        "lost: at every step from zero on, the gain's 95 % interval meets the band, and faces that are not found may "
        f"be missing by chance where {100 * FOUND:g} % are. Eyes count from {LOWEST['eye_opening']:g} on: the "
        "landmarks of lids that are shut do not meet. reach.json holds these ranges for the Engine's warnings."
    )
    drawn = []
    for sweep in found:
        points = [(step.amount, step.gain.value) for step in sweep.steps]
        label = "degrees" if not sweep.units else "level"
        line = Series(sweep.control, points)
        drawn.append(figure(sweep.control, plot([line], label, "gain", band=(LOW, HIGH), y_range=(0, 1.6))))
    body = [
        (
            sweep.control,
            f"{sweep.range[0]:g} to {sweep.range[1]:g}" if sweep.range != (0.0, 0.0) else "not at its first step",
            number(max((step.gain.value for step in sweep.steps), default=float("nan"))),
            f"{100 * min(step.found.value for step in sweep.steps):.0f} %",
            number(max(step.distance.value for step in sweep.steps)),
        )
        for sweep in found
    ]
    headings = ("control", "reached", "largest gain", "least faces found", "largest identity distance")
    return f"<p>{escape(text)}</p>{table(headings, body)}{plots(drawn)}"


def _layers(study: Study) -> str:
    drawn = []
    if study.layers:
        slots = [str(i) for i in range(len(next(iter(study.layers.values()))))]
        groups = {name: values.tolist() for name, values in study.layers.items()}
        drawn.append(figure("Influence of each slot of the code", bars(groups, slots, "slot", "offset, deviations")))
    drawn += [figure(label, histogram(values.tolist(), label)) for label, values in study.histograms.items()]
    return plots(drawn)


def _all(study: Study) -> str:
    parts = [f"<h3>{escape(study.rig.title)}</h3>{report_table(study.rig, study.other)}"]
    parts.append(f"<h3>{escape(study.reconstructor.title)}</h3>{report_table(study.reconstructor)}")
    return f"<details open><summary>tables</summary>{''.join(parts)}</details>"


def _settings(study: Study, settings: Mapping[str, object]) -> str:
    whole = {**settings, "seconds": {name: round(value, 1) for name, value in study.seconds.items()}}
    return f"<pre>{escape(json.dumps(whole, indent=2, default=str))}</pre>"
