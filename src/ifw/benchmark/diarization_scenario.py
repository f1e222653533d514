"""Who speaks when: the embeddings of voices, beside pyannote.audio, as `benchmarks/diarization.py` measures them."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any, Final

from ifw.benchmark.bench import Bench
from ifw.benchmark.interference import Watch, wait_until_idle

_SECONDS: Final = "24"
_LINE: Final = re.compile(r"^(ours|pyannote\.audio): ([\d.]+) CPU s", re.MULTILINE)


def diarization_scenario(bench: Bench) -> dict[str, Any]:
    """Processor seconds of the embeddings of a conversation; pyannote.audio where its environment is there."""
    script = bench.options.peers_dir.parent / "diarization.py"
    if not script.is_file():
        bench.remark(f"diarization is left out: there is no {script.name} beside the folder of peers")
        return {"rows": []}
    wait_until_idle(bench.cpus, bench.options.wait_s)
    command = [sys.executable, str(script), "--seconds", _SECONDS, "--rounds", str(bench.options.n_rounds)]
    command += ["--threads", str(bench.options.n_threads), "--hours", "0"]
    command += ["--peer", str(bench.options.venvs_dir.resolve() / ".venv-peers-pyannote-audio")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603 - ours
        watch = Watch(bench.cpus, process.pid)
        said, complaints = process.communicate()
        foreign = watch.end(process.pid)
    if process.returncode:
        bench.remark(f"diarization is left out: {(complaints.strip().splitlines() or ['it failed'])[-1]}")
        return {"rows": []}
    seconds = {name: float(cpu_s) for name, cpu_s in _LINE.findall(said)}
    return {
        "rows": [{"engine": name, "cpu_s": cpu_s} for name, cpu_s in seconds.items()],
        "audio_s": float(_SECONDS),
        "foreign": foreign.share,
        "said": said.splitlines(),
    }
