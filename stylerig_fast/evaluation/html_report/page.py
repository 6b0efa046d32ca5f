"""Puts the page together: what was found, in the order in which somebody would ask."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path

from stylerig_fast.atomic_files import write_atomically
from stylerig_fast.evaluation.comparison import MethodScore
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
from stylerig_fast.evaluation.iso_identity import IsoIdentityComparison, verdict
from stylerig_fast.evaluation.paper_figures import Grid
from stylerig_fast.evaluation.protocol import Evaluation
from stylerig_fast.measurement.edit_kinds import EDIT_KINDS, evaluated_kinds
from stylerig_fast.measurement.range_sweep import DETECTED, HIGHEST, Sweep
from stylerig_fast.measurement.statistics import Estimate
from stylerig_fast.plotting import Series, bars, histogram, plot

FIRST = {
    **{f"{kind.name}.gain": f"{kind.label}: gain" for kind in evaluated_kinds()},
    "yaw.error": "yaw: mean error, degrees",
    "pitch.error": "pitch: mean error, degrees",
    "light.angle_median": "light: angle off, median degrees",
    "identity.yaw_15": "identity distance, yaw ±15°",
    "identity.expression": "identity distance, expression",
    "identity.light": "identity distance, light",
    "off_target_change.yaw": "off-target change by yaw",
    "background.yaw_over_style_mixing": "change around the face by yaw, over style mixing's",
    "glasses.changed_by_yaw": "glasses put on or taken off by yaw",
    "detected.share": "faces found",
    "frechet.edited_over_unedited": "Fréchet distance, edited over unedited",
}
# Methods that the page compares the rig with in words: the paper's comparison, the strong direction, and `--compare`.
STRONG = ("style mixing", "pattern direction", "second rig")
SECTIONS = {
    "first": "At a glance",
    "methods": "Beside the baselines",
    "agreement": "What F says, and what the picture shows",
    "reach": "Reach",
    "pictures": "Pictures",
    "layers": "Layers and distributions",
    "all": "All metrics",
    "settings": "Settings",
}


def write_page(path: Path, evaluation: Evaluation, settings: Mapping[str, object]) -> None:
    """Writes the page, whole or not at all.

    Args:
        path: of the HTML file.
        evaluation: what was found.
        settings: command, versions, rig: shown as they are.
    """
    bodies = {
        "first": _first(evaluation),
        "methods": _methods(evaluation.scores, evaluation.iso_identity),
        "agreement": _agreement(evaluation),
        "reach": _reach(evaluation.sweeps),
        "pictures": _pictures(evaluation.grids),
        "layers": _layers(evaluation),
        "all": _all(evaluation),
        "settings": _settings(evaluation, settings),
    }
    links = "".join(f'<a href="#{key}">{escape(SECTIONS[key])}</a>' for key, body in bodies.items() if body)
    content = "".join(
        f'<section id="{key}"><h2>{escape(SECTIONS[key])}</h2>{body}</section>' for key, body in bodies.items() if body
    )
    lead = (
        f"{evaluation.plan.people} held-out people, edited, and measured on the picture. "
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


def _first(evaluation: Evaluation) -> str:
    missed = evaluation.rig.missed
    verdict = f"{len(missed)} of {len(evaluation.rig.checked)} goals are missed: {', '.join(missed)}." if missed else (
        "All goals are met."
    )  # fmt: skip
    text = (
        "Gain is the change in the picture over the requested change: in degrees, or as the rendered face model shows "
        "it. Identity distances are dlib's, in which different people are 0.73 apart"
    )
    mirror = evaluation.rig.estimates.get("noise_floor.identity")
    text += "" if mirror is None else f", and a picture and its mirror image {mirror.value:.2f}"
    text += f". The Fréchet distance is on {evaluation.frechet_network}."
    most = cards(evaluation.rig, FIRST, evaluation.second_rig)
    return f"<p>{escape(verdict)}</p><p class='soft'>{escape(text)}</p>{most}"


def _methods(scores: list[MethodScore], found: list[IsoIdentityComparison]) -> str:
    if not scores:
        return ""
    text = (
        "Error is the distance between the measured and the requested change, as a share of the latter: 1 is no edit. "
        "Off-target change is what the other measures moved, over the requested change, in standard deviations over "
        "portraits. In the plots each line is one method at several strengths of its offset; down and to the left is "
        "better."
    )
    kinds = [kind for kind in EDIT_KINDS if any(score.kind == kind for score in scores)]
    distances = [figure(_label(kind), _against(scores, kind, "identity", "identity distance", 0.9)) for kind in kinds]
    changes = [
        figure(_label(kind), _against(scores, kind, "off_target_change", "off-target change", 1.2)) for kind in kinds
    ]
    tables = []
    headings = ("method", "gain", "error", "identity", "off-target", "background", "faces")
    for kind in kinds:
        chosen = [score for score in scores if score.kind == kind and score.strength in (0.0, 1.0)]
        body = [
            (
                s.method,
                *(number(e.value) for e in (s.gain, s.error, s.identity, s.off_target_change, s.background)),
                f"{100 * s.detected:.0f} %",
            )
            for s in chosen
        ]
        tables.append(figure(_label(kind), table(headings, body, marked=("rig",))))
    note = "Background: change of hair, clothes and background, mean colour difference of 0 to 1."
    return (
        f"<p>{escape(text)}</p>{_iso_identity(found)}<h3>Error against identity distance</h3>{plots(distances)}"
        f"<h3>Error against off-target change</h3>{plots(changes)}<h3>At full strength</h3>"
        f'<div class="plots wide">{"".join(tables)}</div><p class="soft">{escape(note)}</p>'
    )


def _label(kind: str) -> str:
    return EDIT_KINDS[kind].label


def _iso_identity(found: list[IsoIdentityComparison]) -> str:
    """The rig beside the strong methods in words, then beside all in numbers."""
    sentences = []
    for method in (name for name in STRONG if any(s.method == name for s in found)):
        of_method = [comparison for comparison in found if comparison.method == method]
        errs = _said("errs", {_label(s.kind): s.more_error for s in of_method})
        changes = _said("changes other measures", {_label(s.kind): s.more_off_target_change for s in of_method})
        sentences.append(f"<li>{escape(f'Beside {method} the rig {errs}. It {changes}.')}</li>")
    headings = (
        "edit",
        "method",
        "identity",
        "rig's error",
        "method's",
        "more by",
        "rig's off-target change",
        "method's",
        "more by",
    )
    body = [
        (
            _label(s.kind),
            s.method,
            number(s.identity),
            *(number(s.error), number(s.other_error), ends(s.more_error)),
            *(number(s.off_target_change), number(s.other_off_target_change), ends(s.more_off_target_change)),
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


def _said(verb: str, more: Mapping[str, Estimate]) -> str:
    """In which edits the rig has less and more of it."""
    parts = []
    for word, before in (("less", verb), ("more", verb), ("not told apart", "is")):
        labels = [label for label, estimate in more.items() if verdict(estimate) == word]
        if labels:
            parts.append(f"{before} {word} in {', '.join(labels)}")
    return "; ".join(parts)


def _against(scores: list[MethodScore], kind: str, name: str, label: str, most: float) -> str:
    """Error of every method against another of its scores, one line per method."""
    series = []
    for colour, method in enumerate(dict.fromkeys(score.method for score in scores)):
        chosen = sorted((s for s in scores if s.method == method and s.kind == kind), key=lambda s: s.strength)
        points = [(getattr(score, name).value, score.error.value) for score in chosen]
        series.append(Series(method, points, colour=colour))
    return plot(series, label, "error", x_range=(0, most), y_range=(0, 1.1))


def _agreement(evaluation: Evaluation) -> str:
    found, prefix = evaluation.rig.estimates, "reconstructor_agreement"
    kinds = [kind for kind in EDIT_KINDS if f"{prefix}.{kind}_in_picture" in found]
    if not kinds:
        return ""
    labels = {"training": "F it was trained against", "second": "independent F"}
    groups = {
        labels.get(name, name): [found[f"{prefix}.{kind}_by_{name}"].value for kind in kinds]
        for name in evaluation.measured.by_reconstructor
    }
    groups["picture"] = [found[f"{prefix}.{kind}_in_picture"].value for kind in kinds]
    text = (
        "Gain of the same edits as reconstructors read it off the edited code, and in the picture. Where F says more "
        "than the picture shows, the rig pleases F."
    )
    return f"<p>{escape(text)}</p>" + plots([figure("Gain", bars(groups, kinds, "edit", "gain"))])


def _reach(found: list[Sweep]) -> str:
    if not found:
        return ""
    low, low_of_eyes = EDIT_KINDS["yaw"].lowest_gain, EDIT_KINDS["eyes"].lowest_gain
    text = (
        f"A control reaches as far as its gain is not shown to leave {low:g} to {HIGHEST:g} (the band), nor faces to "
        "be lost: at every step from zero on, the gain's 95 % interval meets the band, and faces that are not found "
        f"may be missing by chance where {100 * DETECTED:g} % are. Eyes count from {low_of_eyes:g} on: the "
        "landmarks of lids that are shut do not meet. reach.json holds these ranges for the Engine's warnings."
    )
    drawn = []
    for sweep in found:
        points = [(step.amount, step.gain.value) for step in sweep.steps]
        label = "level" if sweep.kind.units else "degrees"
        line = Series(sweep.control, points)
        drawn.append(figure(sweep.control, plot([line], label, "gain", band=(low, HIGHEST), y_range=(0, 1.6))))
    body = [
        (
            sweep.control,
            f"{sweep.range[0]:g} to {sweep.range[1]:g}" if sweep.range != (0.0, 0.0) else "not at its first step",
            number(max((step.gain.value for step in sweep.steps), default=float("nan"))),
            f"{100 * min(step.detected.value for step in sweep.steps):.0f} %",
            number(max(step.distance.value for step in sweep.steps)),
        )
        for sweep in found
    ]
    headings = ("control", "reached", "largest gain", "least faces found", "largest identity distance")
    return f"<p>{escape(text)}</p>{table(headings, body)}{plots(drawn)}"


def _pictures(grids: Mapping[str, Grid]) -> str:
    return "".join(f"<h3>{escape(title)}</h3>{picture_grid(grid)}" for title, grid in grids.items())


def _layers(evaluation: Evaluation) -> str:
    drawn = []
    if evaluation.layers:
        slots = [str(i) for i in range(len(next(iter(evaluation.layers.values()))))]
        groups = {name: values.tolist() for name, values in evaluation.layers.items()}
        drawn.append(figure("Influence of each slot of the code", bars(groups, slots, "slot", "offset, deviations")))
    drawn += [figure(label, histogram(values.tolist(), label)) for label, values in evaluation.histograms.items()]
    return plots(drawn)


def _all(evaluation: Evaluation) -> str:
    parts = [f"<h3>{escape(evaluation.rig.title)}</h3>{report_table(evaluation.rig, evaluation.second_rig)}"]
    parts.append(f"<h3>{escape(evaluation.reconstructor.title)}</h3>{report_table(evaluation.reconstructor)}")
    return f"<details open><summary>tables</summary>{''.join(parts)}</details>"


def _settings(evaluation: Evaluation, settings: Mapping[str, object]) -> str:
    whole = {**settings, "seconds": {name: round(value, 1) for name, value in evaluation.seconds.items()}}
    return f"<pre>{escape(json.dumps(whole, indent=2, default=str))}</pre>"
