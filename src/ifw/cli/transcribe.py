"""`ifw transcribe`: files in, transcripts out."""

from __future__ import annotations

import typer

from ifw.cli import diarize_flags, engine_flags, flags, subtitle_flags, temperature_flags
from ifw.cli.clip_flag import parse_clips
from ifw.cli.destinations import choose_destination
from ifw.cli.ending import ending
from ifw.cli.exit_status import exit_status
from ifw.cli.inputs import expand_inputs
from ifw.cli.interrupt import interruptible
from ifw.cli.report import Report
from ifw.cli.run import Run, RunOptions
from ifw.config import (
    DEFAULT_PRESET,
    AudioOptions,
    DecodeOptions,
    SubtitleOptions,
    TranscribeOptions,
    VadOptions,
)
from ifw.errors import ConfigError
from ifw.model.languages import language_code

AUDIO, DECODE, VAD, SUBTITLES = AudioOptions(), DecodeOptions(), VadOptions(), SubtitleOptions()


def transcribe(
    files: flags.Files,
    *,
    model: flags.Model = "turbo",
    output_dir: flags.OutputDir = None,
    output_format: flags.OutputFormats = None,
    max_line_width: subtitle_flags.MaxLineWidth = SUBTITLES.max_line_width,
    max_line_count: subtitle_flags.MaxLineCount = SUBTITLES.max_line_count,
    max_words_per_line: subtitle_flags.MaxWordsPerLine = SUBTITLES.max_words_per_line,
    highlight_words: subtitle_flags.HighlightWords = SUBTITLES.highlight_words,
    min_cue_s: subtitle_flags.MinCue = SUBTITLES.min_cue_s,
    cue_layout: subtitle_flags.CueLayout = SUBTITLES.layout,
    resume: flags.Resume = False,
    verbose: flags.Verbose = False,
    quiet: flags.Quiet = False,
    print_timings: flags.PrintTimings = False,
    preset: flags.Preset = DEFAULT_PRESET,
    language: flags.Language = None,
    multilingual: flags.Multilingual = DECODE.multilingual,
    task: flags.Task = DECODE.mode,
    initial_prompt: flags.InitialPrompt = None,
    hotwords: flags.Hotwords = None,
    condition_on_previous_text: flags.ConditionOnPreviousText = None,
    timestamps: flags.Timestamps = DECODE.timestamps,
    word_timestamps: flags.WordTimestamps = DECODE.word_timestamps,
    token_logprobs: flags.TokenLogprobs = DECODE.token_logprobs,
    beam_size: flags.BeamSize = None,
    best_of: flags.BestOf = None,
    temperature: temperature_flags.Temperature = None,
    temperature_increment_on_fallback: temperature_flags.TemperatureIncrement = None,
    compression_ratio_threshold: flags.CompressionRatioThreshold = DECODE.compression_ratio_threshold,
    logprob_threshold: flags.LogprobThreshold = DECODE.logprob_threshold,
    no_speech_threshold: flags.NoSpeechThreshold = DECODE.no_speech_threshold,
    seed: flags.Seed = DECODE.seed,
    clip: flags.Clip = None,
    channels: flags.Channels = AUDIO.channels,
    diarize: diarize_flags.Diarize = False,
    diarization_model: diarize_flags.DiarizationModel = None,
    num_speakers: diarize_flags.NumSpeakers = None,
    min_speakers: diarize_flags.MinSpeakers = None,
    max_speakers: diarize_flags.MaxSpeakers = None,
    vad: flags.Vad = VAD.enabled,
    vad_onset: flags.VadOnset = VAD.onset,
    vad_offset: flags.VadOffset = VAD.offset,
    vad_min_speech_ms: flags.VadMinSpeechMs = VAD.min_speech_ms,
    vad_min_silence_ms: flags.VadMinSilenceMs = VAD.min_silence_ms,
    vad_pad_ms: flags.VadPadMs = VAD.pad_ms,
    chunk_size: flags.ChunkSize = VAD.max_window_s,
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
    """Transcribe audio and video files.

    Prints the text, or writes subtitles and other files with -f or -o. A file that fails is reported, and the
    others go on; the exit status is 0 only if every file succeeded.
    """
    report = Report(quiet=quiet, verbose=verbose)
    with ending(report):
        options = TranscribeOptions(
            decode=DecodeOptions.preset(
                preset,
                language=language_code(language),
                multilingual=multilingual,
                mode=task,
                initial_prompt=initial_prompt,
                hotwords=hotwords,
                timestamps=timestamps,
                word_timestamps=word_timestamps or highlight_words,
                token_logprobs=token_logprobs,
                compression_ratio_threshold=compression_ratio_threshold,
                logprob_threshold=logprob_threshold,
                no_speech_threshold=no_speech_threshold,
                seed=seed,
                **flags.given(
                    condition_on_previous_text=condition_on_previous_text,
                    beam_size=beam_size,
                    best_of=best_of,
                    temperatures=temperature_flags.temperature_ladder(temperature, temperature_increment_on_fallback),
                ),
            ),
            audio=AudioOptions(clip=parse_clips(clip or ()), channels=channels),
            vad=VadOptions(
                enabled=vad,
                onset=vad_onset,
                offset=vad_offset,
                min_speech_ms=vad_min_speech_ms,
                min_silence_ms=vad_min_silence_ms,
                pad_ms=vad_pad_ms,
                max_window_s=chunk_size,
            ),
            diarize=diarize_flags.diarization_options(
                diarize, diarization_model, num_speakers, min_speakers, max_speakers
            ),
        )
        subtitles = SubtitleOptions(
            max_line_width=max_line_width,
            max_line_count=max_line_count,
            max_words_per_line=max_words_per_line,
            highlight_words=highlight_words,
            min_cue_s=min_cue_s,
            layout=cue_layout,
        )
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
        inputs, bad_inputs = expand_inputs(files)
        destination = choose_destination(output_dir, [item.value for item in output_format or ()], len(inputs))
        if resume and destination.folder is None:
            raise ConfigError("--resume: got no files to resume, allowed: with --output-dir or --output-format")
        run_options = RunOptions(
            inputs,
            destination,
            options,
            subtitles,
            model,
            diarization_model,
            draft_model,
            engine,
            jobs,
            resume,
            verbose,
            print_timings,
        )
        for bad in bad_inputs:
            report.error(bad.label, bad.error)
        with interruptible() as interruption, report:
            errors = [bad.error for bad in bad_inputs] + Run(run_options, report, interruption).go()
    raise typer.Exit(exit_status(errors))
