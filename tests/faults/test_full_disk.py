"""The disk of the data folder is full for a while."""

import json
import resource
import shutil
import subprocess
from contextlib import contextmanager, suppress

import pytest
from clips import CLIPS, LONG, LONGER, told
from processes import Tasks, until

CODE = "disk_full"


@contextmanager
def small_disk(folder, n_bytes):
    """A file system of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={n_bytes}", "tmpfs", str(folder)]
    made = subprocess.run(mount, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"a small file system cannot be made here: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path):
    """Write until there is no room."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"0" * 4096):
            pass
    assert shutil.disk_usage(path.parent).free == 0


def refused(reply):
    """The code of a reply that says clearly that there is no room."""
    assert reply.status_code == 507, reply.text
    body = reply.json()
    return body.get("error", body)["code"]


def test_a_full_disk_is_said_and_nothing_breaks(new_place, surroundings, said):
    place = new_place()
    data = place.folder / "data"
    with small_disk(data, 40 << 20):
        try:
            server = place.start("serve", "--min-free-bytes=1MB", "--n-slots=2").wait_ready()
            tasks = Tasks(server.client)
            webhook = {"url": f"{surroundings.url}/hook"}
            names = {tasks.submit(upload=surroundings.files[LONGER], webhook=webhook): LONGER}
            until(lambda: place.rows("SELECT 1 FROM ifw_journal", live=True), "a finished window")
            fill(data / "ballast")
            upload = {"file": ("clip.wav", surroundings.files[CLIPS[0]])}
            assert refused(server.client.post("/tasks", files=upload)) == CODE
            heard = server.client.post("/v1/audio/transcriptions", files=upload, data={"model": "demo"})
            assert refused(heard) == CODE
            ready = server.client.get("/health/ready")
            assert ready.status_code == 503
            assert "disk" in json.dumps(ready.json())
            assert tasks.get(next(iter(names)))["error"] is None
            (data / "ballast").unlink()
            names |= {tasks.submit(url=f"{surroundings.url}/{name}", webhook=webhook): name for name in CLIPS[:3]}
            ended = tasks.wait_ended(names)
            tasks.wait_told(names)
            for task_id, name in names.items():
                assert ended[task_id]["error"] is None
                assert told(tasks.transcript(task_id)) == said[name]
            assert {one: len(events) for one, events in surroundings.taken().items()} == dict.fromkeys(names, 1)
            assert server.client.get("/health/ready").status_code == 200
            assert server.terminate() == 0
            assert place.rows("PRAGMA integrity_check") == [("ok",)]
        finally:
            place.close()


def test_a_file_for_which_there_is_no_room_fails_its_task_only(new_place, surroundings, said):
    place = new_place()
    server = place.start().wait_ready()
    tasks = Tasks(server.client)
    limit = len(surroundings.files[LONG]) // 2
    _, most = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (limit, most))
    upload = {"file": ("clip.wav", surroundings.files[LONG])}
    assert refused(server.client.post("/tasks", files=upload)) == CODE
    too_large = tasks.submit(url=f"{surroundings.url}/{LONG}")
    fine = tasks.submit(url=f"{surroundings.url}/{CLIPS[0]}")
    error = tasks.wait_ended([too_large])[too_large]["error"]
    assert error["code"] == "fetch_failed"
    assert error["message"].endswith("its file cannot be written: File too large")
    assert tasks.wait_ended([fine])[fine]["error"] is None
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (most, most))
    again = tasks.submit(url=f"{surroundings.url}/{LONG}")
    assert tasks.wait_ended([again])[again]["error"] is None
    assert told(tasks.transcript(again)) == said[LONG]
    assert server.terminate() == 0
    assert list((place.folder / "data/spool").iterdir()) == []
