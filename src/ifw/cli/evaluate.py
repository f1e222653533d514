"""`ifw eval`: what a checkpoint makes of files whose text is known, and how two runs compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ifw import __version__
from ifw.cli import engine_flags, flags
from ifw.cli.destinations import STDOUT, prepare_folders, refuse_to_replace, replace_file
from ifw.cli.ending import ending
from ifw.cli.exit_status import exit_status
from ifw.cli.interrupt import interruptible
from ifw.cli.report import Report
from ifw.config import DEFAULT_PRESET, TranscribeOptions, VadOptions
from ifw.errors import ConfigError, OutputError
from ifw.model.languages import language_code

if TYPE_CHECKING:
    from ifw.evaluation import Evaluation

Manifest = Annotated[
    Path,
    typer.Argument(
        metavar="MANIFEST.jsonl",
        help="One JSON object a line with audio (a path from the manifest's folder) and text; see docs/evaluation.md. "
        "Results of an earlier run are shown again, without a model.",
        show_default=False,
    ),
]
Output = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write the results as JSON; - prints them, not the table."),
]
Compare = Annotated[
    Path | None,
    typer.Option("--compare", metavar="FILE", help="Results of an earlier run over the same manifest to compare with."),
]
Language = Annotated[
    str | None,
    typer.Option(
        "--language", help="Spoken language of every file; auto: detected. Left out: as the manifest says, or detected."
    ),
]


def evaluate(
    manifest: Manifest,
    *,
    output: Output = None,
    compare: Compare = None,
    quiet: flags.Quiet = False,
    model: flags.Model = "turbo",
    preset: flags.Preset = DEFAULT_PRESET,
    language: Language = None,
    vad: flags.Vad = True,
    device: flags.Device = "auto",
    compute_type: flags.ComputeType = "auto",
    batch_size: flags.BatchSize = None,
    threads: flags.Threads = 0,
    steps: engine_flags.Steps = engine_flags.DEFAULTS.steps,
    cross_kv: engine_flags.CrossKv = engine_flags.DEFAULTS.cross_kv,
    encoder_products: engine_flags.EncoderProducts = engine_flags.DEFAULTS.encoder_products,
    draft_model: engine_flags.DraftModel = None,
    draft_tokens: engine_flags.DraftTokens = engine_flags.DEFAULTS.draft_tokens,
    jobs: flags.Jobs = 4,
) -> None:
    """Measure word and character error rates, times and speed on files whose text is known.

    Texts are compared as Whisper's authors do, without case and punctuation. A file that fails is reported and counted,
    and the others go on; the exit status is 0 only if every file succeeded.
    """
    report = Report(quiet=quiet)
    errors: list[Exception] = []
    with ending(report):
        from ifw.cli.evaluation_run import EvaluationOptions, run_evaluation
        from ifw.cli.score_table import comparison_text, evaluation_text
        from ifw.evaluation import compare as compare_evaluations
        from ifw.evaluation import read_manifest, read_results, results_json
        from ifw.evaluation.results import is_results

        engine = engine_flags.engine_config(
            device,
            compute_type,
            batch_size,
            threads,
            steps=steps,
            cross_kv=cross_kv,
            encoder_products=encoder_products,
            draft_tokens=draft_tokens,
        )
        _prepare(output)
        earlier = None if compare is None else read_results(compare)
        if is_results(manifest):
            evaluation = read_results(manifest)
        else:
            entries = read_manifest(manifest)
            if output is not None and output != STDOUT:
                refuse_to_replace([manifest, *(entry.path for entry in entries)], [Path(output)], "--output")
            asked = EvaluationOptions(
                entries=entries,
                options=TranscribeOptions.preset(preset, vad=VadOptions(enabled=vad), language=language_code(language)),
                is_language_given=language is not None,
                model=model,
                engine=engine,
                draft_model=draft_model,
                n_parallel=jobs,
                settings={
                    "ifw": __version__,
                    "manifest": str(manifest),
                    "model": model,
                    "preset": preset,
                    "language": language,
                    "vad": vad,
                    "device": device,
                    "compute_type": compute_type,
                    "cross_kv": cross_kv,
                    "encoder_products": encoder_products,
                    "draft_model": draft_model,
                },
            )
            with interruptible() as interruption, report:
                evaluation, errors = run_evaluation(asked, report, interruption)
        comparison = None if earlier is None else compare_evaluations(earlier, evaluation)
        if output == STDOUT:
            report.print_output(results_json(evaluation))
        else:
            _write(evaluation, output, report)
            report.print_output(evaluation_text(evaluation, comparison))
            if comparison is not None:
                report.print_output(comparison_text(comparison, str(compare)))
    raise typer.Exit(exit_status(errors))


def _prepare(output: str | None) -> None:
    """See that the results can be written, before any work is done for them."""
    if output is None or output == STDOUT:
        return
    if not output or Path(output).is_dir():
        raise ConfigError(f"--output: got {output!r}, allowed: a file, or - for standard output")
    prepare_folders([Path(output)])


def _write(evaluation: Evaluation, output: str | None, report: Report) -> None:
    from ifw.evaluation import results_json

    if output is None:
        return
    try:
        replace_file(Path(output), results_json(evaluation))
    except OSError as error:
        raise OutputError(f"cannot write {output}: {error.strerror or error}") from error
    report.note(f"wrote {output}")
