"""`docs/api.md` is what a server does: every example runs as it stands there, and every reply has the shape shown."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
import standardwebhooks
from prometheus_client.parser import text_string_to_metric_families

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))  # the servers of its tests are those of this one too
from neighbour import ROOT, SHORT, Neighbour  # found by the line above
from server_process import ServerProcess, serving  # found by the line above

from ifw.service.settings import Settings, variable_of

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECRET, OTHER_SECRET = "whsec_" + 8 * "c2Vj", "whsec_" + 8 * "b3Ro"
SAID = "Julia drinks coffee every morning."
END_OF_BLOCK = "\x1e"
# so that a call that fails ends the script, replies end with a line, and machines without jq run it too
PRELUDE = """
set -euo pipefail
curl() { command curl --fail-with-body --silent --show-error "$@" && echo; }
jq() { python -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "${2#.}"; }
"""


class Block(NamedTuple):
    """A block of code, and the reply that is shown below it."""

    section: str
    language: str
    text: str
    reply: str


def blocks() -> Iterator[Block]:
    found = re.compile(r"^```(sh|python)\n(.*?)^```\n(?:\n```json\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
    for part in re.split(r"^## ", PAGE, flags=re.MULTILINE):
        for language, text, reply in found.findall(part):
            yield Block(part.partition("\n")[0], language, text, reply)


class Site(NamedTuple):
    """A server, and what stands for the addresses of the page."""

    server: ServerProcess
    neighbour: Neighbour

    def located(self, text: str) -> str:
        neighbour = self.neighbour.url
        for there, here in (
            ("http://localhost:8000", self.server.url),
            ("https://example.com/hook", f"{neighbour}/hook"),
            ("https://example.com/talk.mp3", f"{neighbour}/short.ogg"),
        ):
            text = text.replace(there, here)
        return text

    def run(self, folder: Path, *command: str) -> str:
        shutil.copy(SHORT, folder / "talk.mp3")
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = {**os.environ, "no_proxy": "*", "PATH": path}
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=env)
        assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
        return ended.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, env = tmp_path_factory.mktemp("site"), {"IFW_WEBHOOK_SECRET": SECRET}
    flags = ("--allow-nets", "127.0.0.0/8", "--diarization-model", "demo")
    with Neighbour() as neighbour, serving(folder, *flags, env=env) as server:
        server.wait_ready()
        yield Site(server, neighbour)


def differences(shown: Any, got: Any, where: str = "") -> list[str]:
    """Where a reply is of another shape than the one shown; null may be anything, and codes are as shown."""
    if shown is None or got is None:
        return []
    if where.endswith(".code"):
        return [] if shown == got else [f"{where}: {got!r} is not {shown!r}"]
    if isinstance(shown, dict) and isinstance(got, dict):
        missing = [f"{where}.{key} is only in one" for key in sorted(shown.keys() ^ got.keys())]
        pairs = [differences(shown[key], got[key], f"{where}.{key}") for key in shown.keys() & got.keys()]
        return sum(pairs, missing)
    if isinstance(shown, list) and isinstance(got, list):
        return differences(shown[0], got[0], f"{where}[]") if shown and got else []
    kinds = {type(float(one) if isinstance(one, int) and not isinstance(one, bool) else one) for one in (shown, got)}
    return [] if len(kinds) == 1 else [f"{where}: {got!r} is not like {shown!r}"]


def frames(stream: str) -> dict[str, list[str]]:
    """The names of the lines of each kind of event."""
    return {
        lines[0]: [line.partition(": ")[0] for line in lines]
        for lines in map(str.splitlines, stream.strip().split("\n\n"))
        if lines[0].startswith("event: ")
    }


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl(site: Site, tmp_path: Path) -> None:
    shell = [block for block in blocks() if block.language == "sh"]
    script = PRELUDE
    for block in shell:
        is_refused = block.section == "Errors"
        script += f"{{ {block.text} }} || true\n" if is_refused else block.text
        script += f"printf '{END_OF_BLOCK}'\n"
    said = site.run(tmp_path, "bash", "-c", site.located(script)).split(END_OF_BLOCK)[:-1]
    assert len(said) == len(shell) >= 20
    for block, output in zip(shell, said, strict=True):
        if block.reply:
            assert not differences(json.loads(block.reply), json.loads(output.strip().splitlines()[-1])), block.text
    assert sum(bool(block.reply) for block in shell) > 10
    assert (tmp_path / "talk.srt").read_text().startswith("1\n00:00:0")
    (shown,) = re.findall(r"^```\n(event: .*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    streams = [output for output in said if "event: done" in output]
    assert frames(shown).items() <= frames("".join(streams)).items()


def test_python(site: Site, tmp_path: Path) -> None:
    program = "\n".join(block.text for block in blocks() if block.language == "python")
    lines = site.run(tmp_path, sys.executable, "-c", site.located(program)).splitlines()
    for line in (
        "200 true True",
        f"0.524 {SAID}",
        "204",
        "model_not_found model",
        "english Julia 0.524",
        "en",
        f"Robert: {SAID}",
    ):
        assert line in lines, line


def test_the_readme(site: Site, tmp_path: Path) -> None:
    found = re.findall(r"^```(sh|python)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    curl, python = [(kind, text) for kind, text in found if "http://localhost:8000" in text]
    assert (curl[0], python[0]) == ("sh", "python")
    assert site.run(tmp_path, sys.executable, "-c", site.located(python[1])) == f"{SAID}\n"
    if shutil.which("curl"):
        assert json.loads(site.run(tmp_path, "bash", "-c", site.located(curl[1])))["text"] == SAID


def function(name: str, **known: Any) -> Any:
    """A function of the page."""
    (text,) = [block.text for block in blocks() if f"def {name}(" in block.text]
    exec(text.partition("\n\n\nfor ")[0], known)  # the page is ours
    return known[name]


class Breaking:
    """A client whose first streams break, each after one event more."""

    def __init__(self, client: httpx2.Client, n_breaks: int) -> None:
        self.client, self.n_breaks, self.n_streams = client, n_breaks, 0

    @contextmanager
    def stream(self, method: str, path: str, headers: dict[str, str]) -> Iterator[Any]:
        self.n_streams += 1
        with self.client.stream(method, path, headers=headers) as reply:
            if self.n_streams <= self.n_breaks:
                lines = reply.iter_lines

                def some() -> Iterator[str]:
                    for line in lines():
                        yield line
                        if re.search(r'"type": ?"segment"', line):
                            raise httpx2.ReadError("broken")

                reply.iter_lines = some  # type: ignore[method-assign]  # the break is planted here
            yield reply


def test_the_reader_of_events_outlives_connections(site: Site) -> None:
    client = site.server.client
    task = client.post("/tasks", json={"url": f"{site.neighbour.url}/sample.mp3"}).json()
    breaking = Breaking(client, 2)
    seen = [segment["text"] for segment in function("segments", api=breaking, httpx2=httpx2)(task["id"])]
    transcript = client.get(f"/tasks/{task['id']}/transcript").json()
    assert (seen, breaking.n_streams) == ([segment["text"] for segment in transcript["segments"]], 3)


def test_events_of_webhooks_are_verified(site: Site) -> None:
    verified = function("verified")
    source = f"{site.neighbour.url}/short.ogg"
    webhook = {"url": f"{site.neighbour.url}/checked", "headers": {"X-Tenant": "7"}}
    task = site.server.client.post("/tasks", json={"url": source, "webhook": webhook}).json()
    told = site.neighbour.told("/checked")
    event = verified(told.body, told.headers, [OTHER_SECRET, SECRET])
    assert (event["type"], event["data"]["id"]) == ("task.succeeded", task["id"])
    assert (event["data"]["transcript"]["text"], told.headers["x-tenant"]) == (SAID, "7")
    shown = re.search(r"^POST /hook\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert shown is not None
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        assert (f"{name}: " in shown[1]) == (name in told.headers)
        assert f"{name}: {told.headers[name].partition('_')[0].partition(',')[0][:3]}" in shown[1]
    assert set(re.findall(r'"(\w+)":', shown[1])) == {*event, *event["data"]}
    for body, secrets in ((told.body, [OTHER_SECRET]), (told.body + b" ", [SECRET])):
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            verified(body, told.headers, secrets)


def test_every_route_is_on_the_page(site: Site) -> None:
    for path in site.server.client.get("/openapi.json").json()["paths"]:
        written = path.replace("{task_id}", "{id}").removesuffix("/{model_id}")
        assert re.search(rf"{re.escape(written)}[`?\s]", PAGE), path


def test_every_field_is_on_the_page(site: Site) -> None:
    document = site.server.client.get("/openapi.json").json()
    paths, schemas = document["paths"], document["components"]["schemas"]
    bodies = [
        paths["/tasks"]["post"]["requestBody"]["content"]["application/json"]["schema"],
        *(schemas[name] for name in ("LegacyBody", "AsyncPredictBody")),
        *(
            paths[f"/v1/audio/{name}"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
            for name in ("transcriptions", "translations")
        ),
    ]
    for body in bodies:
        for name in body["properties"]:
            assert f"`{name}`" in PAGE or f'"{name}":' in PAGE, name


def test_every_metric_is_on_the_page_of_the_server(site: Site) -> None:
    site.server.client.get("/health/live")
    page = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
    told = {
        name for row in re.findall(r"^\| (`ifw_.*?) \|", page, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    families = text_string_to_metric_families(site.server.client.get("/metrics").text)
    ours = [one for one in families if one.name.startswith("ifw_")]
    assert told == {f"{one.name}_total" if one.type == "counter" else one.name for one in ours}


@pytest.mark.parametrize(
    ("field", "default", "words"),
    [
        ("max_upload_bytes", 4 << 30, "4 GiB"),
        ("max_body_bytes", 1 << 20, "1 MiB"),
        ("max_fetch_bytes", 4 << 30, "4 GiB"),
        ("fetch_timeout_s", 3600, "an hour"),
        ("client_timeout_s", 60, "60 s"),
        ("max_audio_s", 86_400, "24 hours"),
        ("max_queued", 10_000, "10,000"),
        ("max_sync", 16, "16 at once"),
        ("max_sync_waiting", 256, "256 more"),
        ("result_ttl_s", 7 * 86_400, "a week"),
    ],
)
def test_limits_are_those_shown(field: str, default: float, words: str) -> None:
    assert Settings.model_fields[field].get_default(call_default_factory=True) == default
    (row,) = re.findall(rf"^\|.*`{variable_of(field)}`.*\|$", PAGE.partition("## Limits")[2].partition("##")[0], re.M)
    assert words in row


def test_every_setting_that_pages_name_exists() -> None:
    known = {variable_of(name) for name in Settings.model_fields}
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8").replace("`IFW_`", "")
        assert set(re.findall(r"\bIFW_[A-Z_]+\b", text)) <= known, page
