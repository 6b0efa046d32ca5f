"""The tables of a report, as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..harness import roofline
from ..harness.latency_stats import PERCENTILES
from ..harness.systems import EAGER
from .format import START_UP_STAGES

Row = Mapping[str, Any]
NOTHING = "-"


def markdown(report: Mapping[str, Any], section: str) -> str:
    """The tables of one section of a report, a key of `SECTIONS`."""
    return SECTIONS[section](report)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; columns that are empty in every row are left out."""
    rows = [list(row) for row in rows]
    kept = [i for i, _ in enumerate(columns) if any(row[i] not in ("", NOTHING) for row in rows)]
    lines = [[columns[i] for i in kept], ["---"] * len(kept), *([row[i] for i in kept] for row in rows)]
    return "\n".join(map(line, lines)) + "\n"


def line(cells: Iterable[str]) -> str:
    """One line of a table."""
    return f"| {' | '.join(cells)} |"


def number(value: float | None, digits: int = 3) -> str:
    """About ``digits`` significant digits, never in powers of ten."""
    if value is None:
        return NOTHING
    if value == 0:
        return "0"
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    return f"{value:.{max(0, digits - whole)}f}"


def edit(report: Mapping[str, Any]) -> str:
    """Latencies at every size, then the stages of an edit."""
    parts, rows, full = [], report["edit"]["rows"], report["networks"]["resolution"]
    for side in dict.fromkeys(row["resolution"] for row in rows):
        here = [row for row in rows if row["resolution"] == side]
        title = f"One edit after the other, {side} px" + ("" if side == full else " preview")
        parts.append(f"{title} (milliseconds)\n\n{_latencies(report, here, side == full)}")
    if stages := report["edit"]["stages"]:
        title = f"Stages of an edit in plain eager torch, float32, {report['edit']['stages of']} px"
        parts.append(f"{title}\n\n{_stages(report, stages)}")
    return "\n".join(parts)


def _latencies(report: Mapping[str, Any], rows: Sequence[Row], whole: bool) -> str:
    peers = {f"times {name}": name for name in (EAGER, "OpenVINO")}
    medians = {
        row["name"]: row["figures"]["median"] for row in rows if "figures" in row and row["precision"] == "float32"
    }
    lines = []
    for row in rows:
        head = [row["name"], row["precision"] + (", approximate" if row.get("approximate") else "")]
        parity = [number(row.get("max error"), 1) + "/255" if "max error" in row else "", decibels(row, "lowest psnr")]
        parity += [
            f"{row['max error to full']}/255" if "max error to full" in row else "",
            decibels(row, "psnr to full"),
        ]
        if row["refused"]:
            lines.append([*head, f"**{row['refused']}**", *[""] * (11 + len(peers)), *parity])
            continue
        f = row["figures"]
        percentiles = [number(value) for value in f["percentiles"].values()]
        ratios = [f"{medians[name] / f['median']:.2f}" if name in medians else "" for name in peers.values()]
        floor = roofline.floor(report, row["precision"]) if whole else None
        share = "" if floor is None else f"{100 * floor / f['median']:.0f} %"
        latencies = [
            interval(f),
            *percentiles,
            number(f["max"]),
            number(f["jitter"], 2),
            number(f["fps"]),
            str(f["samples"]),
        ]
        device = [number(row.get("enqueue")), number(row.get("device"))]
        lines.append([*head, *latencies, *ratios, share, *device, *parity])
    columns = ["backend", "precision", "median (95 %)", *(f"p{q}" for q in PERCENTILES), "max", "jitter", "FPS", "n"]
    columns += [*peers, "of the roofline", "CPU enqueue", "device", "max error", "lowest PSNR dB"]
    columns += ["max error to full", "PSNR to full dB"]
    return table(columns, lines)


def interval(f: Row) -> str:
    """Median and its 95 % interval; a single measurement has none."""
    if f["samples"] < 2:
        return number(f["median"])
    return f"{number(f['median'])} ({number(f['low'])} to {number(f['high'])})"


def decibels(row: Row, name: str) -> str:
    """PSNR of a row for a cell; empty where it has none."""
    if name not in row:
        return ""
    return "same" if row[name] is None else f"{row[name]:.1f}"


def _stages(report: Mapping[str, Any], stages: Sequence[Row]) -> str:
    total, rate = sum(stage["ms"] for stage in stages), report["ceilings"]["rates"]["float32"]
    lines = []
    for stage in stages:
        took = stage["ms"] if stage["device_ms"] is None else stage["device_ms"]
        operations = 2 * stage["multiply_adds"] / (took / 1e3) if took > 0 else 0.0
        counted = stage["multiply_adds"] > 0
        lines.append(
            [
                stage["name"],
                number(stage["ms"]),
                number(stage["device_ms"]),
                f"{100 * stage['ms'] / total:.0f} %",
                f"{stage['multiply_adds'] / 1e9:.3f}" if counted else "",
                number(operations / 1e9) if counted else "",
                f"{100 * operations / rate:.0f} %" if counted else "",
            ]
        )
    gpu = any(stage["device_ms"] is not None for stage in stages)
    columns = [
        "stage",
        "CPU enqueue ms" if gpu else "ms",
        "device ms",
        "share",
        "GMAC",
        "GFLOP/s",
        "of the best rate",
    ]
    return table(columns, lines)


def batch(report: Mapping[str, Any]) -> str:
    """Markdown table of throughput by batch size."""
    lines = []
    for row in report["batch"]["rows"]:
        right = [f"{row['max error']}/255" if "max error" in row else "", decibels(row, "lowest psnr")]
        head = [str(row["batch"]), row["name"], row["precision"]]
        if row["refused"]:
            lines.append([*head, f"**{row['refused']}**", "", "", *right])
            continue
        f, floor = row["figures"], roofline.floor(report, row["precision"], row["batch"])
        share = "" if floor is None else f"{100 * floor / f['median']:.0f} %"
        lines.append([*head, number(1e3 * row["batch"] / f["median"]), interval(f), share, *right])
    columns = ["batch", "backend", "precision", "pictures/s", "ms per call (95 %)", "of the roofline"]
    return "Throughput of batches\n\n" + table([*columns, "max error", "lowest PSNR dB"], lines)


def train(report: Mapping[str, Any]) -> str:
    """Markdown table of training steps."""
    lines = []
    for row in report["train"]["rows"]:
        head, parity = [row["name"], str(row["pictures a step"])], f"rel. {row['parity']:.1e}"
        if row["refused"]:
            lines.append([*head, f"**{row['refused']}**", "", "", "", parity])
            continue
        f = row["figures"]
        pace = number(1e3 * row["pictures a step"] / f["median"])
        lines.append([*head, interval(f), number(f["percentiles"]["p90"]), pace, str(f["samples"]), parity])
    columns = ["stage", "pictures a step", "median (95 %) ms", "p90", "pictures/s", "n", "render loss and gradient"]
    section = report["train"]
    mesh = f"{section['vertices']:,} vertices, {section['triangles']:,} triangles, {section['pixels']} pixels"
    return f"One training step ({section['face model']}: {mesh})\n\n{table(columns, lines)}"


def start_up(report: Mapping[str, Any]) -> str:
    """Markdown table of start-up."""
    lines = []
    for row in report["start-up"]["rows"]:
        head, right = [row["name"], row["precision"]], [f"{row['max error']}/255" if "max error" in row else ""]
        if row["refused"] or not row["runs"]:
            lines.append([*head, f"**{row['refused']}**", *[""] * (len(START_UP_STAGES) + 5), *right])
            continue
        runs = row["runs"]
        laps = [middle(run["laps"].get(stage) for run in runs) for stage in START_UP_STAGES]
        total = middle(sum(run["laps"].values()) for run in runs)
        since = middle(sum(run["laps"].get(stage, 0.0) for stage in ("load", "build", "first frame")) for run in runs)
        memory = [megabytes(run.get(name) for run in runs) for name in ("first peak", "peak", "cuda peak")]
        lines.append(
            [*head, *(number(lap) for lap in laps), number(total), number(since), *memory, str(len(runs)), *right]
        )
    columns = [
        "backend",
        "precision",
        *START_UP_STAGES,
        "all",
        "load to first frame",
        "MB, first frame",
        "MB",
        "CUDA MB",
        "n",
        "max error",
    ]
    return "From nothing to the first picture (milliseconds), and peak memory of the process\n\n" + table(
        columns, lines
    )


def middle(values: Iterable[float | None]) -> float | None:
    """The upper median of the values that are there; None without any."""
    known = sorted(value for value in values if value is not None)
    return known[len(known) // 2] if known else None


def megabytes(values: Iterable[int | None]) -> str:
    """The largest peak of several runs, in MB."""
    known = [value for value in values if value is not None]
    return f"{max(known) / 1e6:.0f}" if known else ""


def ops(report: Mapping[str, Any]) -> str:
    """Markdown table of the ops."""
    section = report["ops"]
    s = section["setting"]
    about = (
        f"{s['model']} ({s['vertices']:,} vertices, {s['triangles']:,} triangles), batch {s['batch']}, {s['pixels']} "
        f"pixels, float32, {s['threads']} threads, {s['clock']} time; copy {s['copy GB/s']:.1f} GB/s, matrix product "
        f"{s['matrix GFLOP/s']:.1f} GFLOP/s."
    )
    text = f"{about}\n\n{table(ops_columns(s), [ops_cells(row, s) for row in section['rows']])}"
    if any(row.get("launched") for row in section["rows"]):
        text += "\n\\* not captured in a CUDA graph: Python's launches are part of this time.\n"
    return text


def ops_columns(setting: Mapping[str, Any]) -> list[str]:
    """Headings of the ops' table, by the clock that timed them."""
    unit = "µs" if setting["clock"] == "device" else "ms"
    times = [unit, f"reference {unit}", "times faster", f"floor {unit}", "times the floor", f"other {unit}"]
    return ["op", *times, "parity"]


def ops_cells(row: Row, setting: Mapping[str, Any]) -> list[str]:
    """The cells of an op: microseconds by the device's clock, milliseconds by the host's."""
    scale = 1e3 if setting["clock"] == "device" else 1.0

    def time(name: str, value: float | None) -> str:
        return "" if value is None else number(scale * value) + ("\\*" if name in row.get("launched", ()) else "")

    reference, other = row["reference"], row["other"]
    return [
        row["name"],
        time("ours", row["ours"]),
        time("reference", reference),
        "" if reference is None else f"{reference / row['ours']:.1f}",
        number(scale * row["floor"]),
        f"{row['ours'] / row['floor']:.1f}",
        f"{other[0]} {time('other', other[1])}" if other else "",
        row["parity"],
    ]


def studio(report: Mapping[str, Any]) -> str:
    """The studio's own time, its throughput, and its memory."""
    section, lines = report["studio"], []
    for row in section["rows"]:
        f = row["figures"]
        lines.append([row["name"], interval(f), number(f["percentiles"]["p95"]), str(f["samples"])])
    rates = [
        [str(row["clients"]), ", ".join(f"{rate:.1f}" for rate in row["pictures/s"])] for row in section["throughput"]
    ]
    parts = [
        "From an edit to its picture\n\n" + table(["", "median (95 %) ms", "p95", "n"], lines),
        table(["clients", f"pictures/s of each, {section['size']} px, an Engine that answers at once"], rates),
    ]
    memory = section.get("memory", {})
    if memory.get("growth") is not None:
        parts.append(
            f"Memory of the server: {memory['readings'][-1] / 1e6:.0f} MB after {memory['pictures']:,} pictures, "
            f"{memory['growth'] / 1e6:+.1f} MB since the first tenth of them.\n"
        )
    if "refused" in section:
        parts.append(f"Not measured: {section['refused']}.\n")
    return "\n".join(parts)


def absences(report: Mapping[str, Any]) -> list[str]:
    """What was not measured and why, as a Markdown list; nothing if everything was."""
    reasons: dict[str, list[str]] = {}
    for name, reason in report.get("absent", {}).items():
        reasons.setdefault(reason, []).append(name)
    lines = "\n".join(f"- {', '.join(names)}: {reason}" for reason, names in reasons.items())
    return [f"Not measured:\n\n{lines}"] if reasons else []


SECTIONS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "edit": edit,
    "batch": batch,
    "train": train,
    "start-up": start_up,
    "ops": ops,
    "studio": studio,
}
