"""Results as Markdown: a page for each run, and the summary that the README shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from ifw.benchmark.engines import OWN, SWITCHED
from ifw.benchmark.rounds import AA_RANGE

_Row = dict[str, Any]
_UNTUNED: Final = (
    "`engine` was not part of this run, so each engine has all its set-ups here, and takes 8 windows together at most."
)


def page(results: dict[str, Any]) -> str:
    """All tables of a run, with the machine, the date and the command."""
    machine, options = results["environment"], results["options"]
    flags = ", ".join(machine["flags"]) or "none known"
    gemm = ", ".join(f"{name} {gflops:,.0f}" for name, gflops in results["ceilings"]["gemm_gflops"].items())
    device = "" if options["device"] == "cpu" else f"{results['ceilings']['device']}, "
    parts = [
        f"# Speed: {options['device']}\n",
        f"Made by `{results['command']}` on {machine['date']}.\n",
        f"{device}{machine['processor']} ({flags}), {machine['n_processors']} processors, {options['n_threads']} of "
        f"them used, {machine['memory_gb']:.0f} GB, {machine['system']}, Python {machine['python']}; "
        f"ifw {machine['ifw']}, commit {machine['commit']}. Load average before the run "
        f"{_number(machine['load_before'])}.\n",
        "Threads that wait sleep (`--passive`).\n" if options.get("is_passive") else "",
        f"Ceilings of the same run: products of matrices {gemm} GFLOP/s, reading "
        f"{results['ceilings']['read_gb_s']:.0f} GB/s.\n",
        f"Versions: {_versions(results['versions'])}.\n",
    ]
    parts = [part for part in parts if part]
    for scenario, by_model in results["scenarios"].items():
        for model, found in by_model.items():
            parts.append(_SCENARIOS[scenario](model, found))
    if results["notes"]:
        parts.append("## Notes\n\n" + "\n".join(f"- {note}" for note in results["notes"]) + "\n")
    return "\n".join(parts)


def summary(results: dict[str, Any]) -> str:
    """A row for each model: our best set-up, and how many times as fast as the best set-up of each other engine."""
    by_model = results["scenarios"].get("engine", {})
    others = sorted({row["engine"] for found in by_model.values() for row in found["rows"]} - {OWN, SWITCHED})
    head = ["model", "windows together", "ifw, ms a window", "times real time", *others]
    lines = [_line(head), _line(["---"] * len(head))]
    for model, found in by_model.items():
        for name, choose in (("best", best_rows), ("one", lone_rows)):
            rows = {row["engine"]: row for row in _fastest_of_engines(choose(found["rows"]))}
            own = rows[OWN]
            ratios = [_times(rows[other], own, "ms_a_window") if other in rows else "-" for other in others]
            together = f"{own['batch']} ({own['setup']})" if name == "best" else f"1 ({own['setup']})"
            lines.append(
                _line([model, together, f"{own['ms_a_window']:.0f}", f"{own['times_real_time']:.0f}", *ratios])
            )
    return "\n".join(lines) + "\n"


def best_rows(rows: Iterable[_Row]) -> list[_Row]:
    """The fastest row of each set-up."""
    found: dict[tuple[str, str], _Row] = {}
    for row in rows:
        key = row["engine"], row["setup"]
        if key not in found or row["ms_a_window"] < found[key]["ms_a_window"]:
            found[key] = row
    return list(found.values())


def lone_rows(rows: Iterable[_Row]) -> list[_Row]:
    """The rows with the fewest windows together."""
    every = list(rows)
    least = min(row["batch"] for row in every)
    return [row for row in every if row["batch"] == least]


def _fastest_of_engines(rows: Iterable[_Row]) -> list[_Row]:
    ordered = sorted(rows, key=lambda row: -row["ms_a_window"])
    return list({row["engine"]: row for row in ordered}.values())


def _engine(model: str, found: dict[str, Any]) -> str:
    n_tokens = "the same number of tokens in every window"
    text = f"## Engine, {model}: mel in, tokens out\n\n{n_tokens.capitalize()}; our figures include the mel.\n\n"
    for title, choose in (("each set-up with the batch that suits it", best_rows), ("one window at a time", lone_rows)):
        text += f"{title.capitalize()}:\n\n{_decoding_table(choose(found['rows']), found['reference'])}\n"
    return text + _aa(found)


def _skewed(model: str, found: dict[str, Any]) -> str:
    return f"## Skewed lengths, {model}\n\n{_decoding_table(found['rows'], found['reference'])}\n{_aa(found)}"


def _decoding_table(rows: list[_Row], reference: str) -> str:
    head = ["engine", "set-up", "batch", "ms a window", "least to most", "times real time", "encode ms", "the rest ms"]
    head += ["CPU ms", "of the floor", f"tokens as ours in {reference}", "ifw is faster", "passes"]
    own = min((row for row in rows if row["engine"] == OWN), key=lambda row: row["ms_a_window"])
    lines = [_line(head), _line(["---"] * len(head))]
    for row in sorted(rows, key=lambda one: one["ms_a_window"]):
        share = "-" if row["floor_share"] is None else f"{row['floor_share']:.0%}"
        accepted = row.get("accepted")  # not in older results
        setup = row["setup"] if accepted is None else f"{row['setup']}, {accepted:.0%} accepted"
        cells = [row["engine"], setup, str(row["batch"]), f"{row['ms_a_window']:.0f}"]
        cells += [f"{row['low_ms']:.0f} to {row['high_ms']:.0f}", f"{row['times_real_time']:.0f}"]
        encode_ms = row["stages_ms"].get("encode_s")
        cells += [_number(encode_ms, 0), _number(None if encode_ms is None else row["ms_a_window"] - encode_ms, 0)]
        cells += [f"{row['cpu_ms']:.0f}", share]
        agreement = f"{row['agreement']:.0%}" if accepted is None else "-"  # weights of its own
        cells += [agreement, "" if row is own else _times(row, own, "ms_a_window"), _passes(row)]
        lines.append(_line(cells))
    return "\n".join(lines) + "\n"


def _passes(row: _Row) -> str:
    disturbed = f", {row['n_disturbed']} disturbed" if row["n_disturbed"] else ""
    return f"{row['n_passes']}{disturbed}{' (counted)' if row['is_disturbed'] else ''}"


def _aa(found: dict[str, Any]) -> str:
    ratio = found["aa"]["ratio"]
    low, high = AA_RANGE
    verdict = (
        "as it should be" if low <= ratio <= high else f"**not within {low} to {high}: the machine was not quiet**"
    )
    return f"A/A, {found['aa']['name']} against itself: {ratio:.3f}, {verdict}.\n"


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _versions(versions: dict[str, dict[str, str]]) -> str:
    return "; ".join(
        f"{engine}: {', '.join(f'{name} {version}' for name, version in found.items())}"
        for engine, found in versions.items()
    )


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _files(title: str) -> Callable[[str, dict[str, Any]], str]:
    """A table of files in, text out."""

    def table(model: str, found: dict[str, Any]) -> str:
        head = ["engine", "set-up", "batch", "s", "least to most", "times real time", "p50 s", "p95 s", "CPU s"]
        head += ["ifw is faster", "passes"]
        rows = sorted(found["rows"], key=lambda row: row["wall_s"])
        own = next((row for row in rows if row["engine"] == OWN), None)
        lines = [_line(head), _line(["---"] * len(head))]
        for row in rows:
            cells = [row["engine"], row["setup"], str(row["batch"]), f"{row['wall_s']:.2f}"]
            cells += [f"{row['low_s']:.2f} to {row['high_s']:.2f}", f"{row['times_real_time']:.0f}"]
            cells += [_number(row["p50_s"], 2), _number(row["p95_s"], 2), f"{row['cpu_s']:.1f}"]
            cells += ["" if own is None or row is own else _times(row, own, "wall_s"), _passes(row)]
            lines.append(_line(cells))
        tuned = "" if found["tuning"] else f"{_UNTUNED}\n\n"
        return f"## {title}, {model}\n\n{tuned}" + "\n".join(lines) + "\n"

    return table


def _front_end(model: str, found: dict[str, Any]) -> str:
    del model
    head = [
        "stage",
        "engine",
        "s for an hour of audio",
        "least to most",
        "CPU s for an hour",
        "ifw is faster",
        "passes",
    ]
    lines = [_line(head), _line(["---"] * len(head))]
    own = {row["stage"]: row for row in found["rows"] if row["engine"] == OWN}
    for row in found["rows"]:
        ours = own.get(row["stage"])
        cells = [row["stage"], row["engine"], f"{row['s_an_hour']:.2f}"]
        cells += [f"{row['low_s_an_hour']:.2f} to {row['high_s_an_hour']:.2f}"]
        cells += [f"{row['s_an_hour'] * row['cpu_s'] / row['wall_s']:.2f}"]
        cells += ["" if ours is None or row is ours else _times(row, ours, "wall_s"), _passes(row)]
        lines.append(_line(cells))
    return "## Front end, one processor\n\n" + "\n".join(lines) + "\n"


def _diarization(model: str, found: dict[str, Any]) -> str:
    del model
    title = "## Diarization: embeddings of voices\n\n"
    if not found["rows"]:
        return f"{title}Not measured.\n"
    head = ["engine", "s", "least to most", "CPU s", "ifw is faster", "passes"]
    lines = [_line(head), _line(["---"] * len(head))]
    own = next((row for row in found["rows"] if row["engine"] == OWN), None)
    for row in found["rows"]:
        cells = [row["engine"], f"{row['wall_s']:.2f}", f"{row['low_s']:.2f} to {row['high_s']:.2f}"]
        cells += [f"{row['cpu_s']:.2f}", "" if own is None or row is own else _times(row, own, "wall_s"), _passes(row)]
        lines.append(_line(cells))
    about = found["about"]
    text = (
        f"{found['audio_s']} s of synthetic voices, {about['n_chunks']} chunks, {about['n_speaking']} of "
        f"{about['n_slots']} slots speak; networks of the true sizes.\n\n" + "\n".join(lines) + "\n"
    )
    if found["ratio"] is not None:
        text += (
            f"\nifw is {found['ratio']:.2f} times as fast as pyannote.audio; the goal is {found['goal']} times on CPU. "
            f"The embeddings differ by at most {found['difference']:.0e}.\n"
        )
    return title + text


def _times(row: _Row, own: _Row, key: str) -> str:
    mark = " ?" if row["is_disturbed"] or own["is_disturbed"] else ""
    return f"{row[key] / own[key]:.2f}x{mark}"


_SCENARIOS: dict[str, Callable[[str, dict[str, Any]], str]] = {
    "engine": _engine,
    "skewed": _skewed,
    "long": _files("One long mp3, from file to text"),
    "clients": _files("Clips of 5 to 29 s that arrive at once"),
    "latency": _files("One clip alone"),
    "cold": _files("From the start of the process to the text of one clip"),
    "front-end": _front_end,
    "diarization": _diarization,
}
