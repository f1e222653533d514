"""Build a target of `deploy/docker/Dockerfile` without Docker, as far as that goes, start it and use it.

    python tools/replay_image.py --target cpu
    python tools/replay_image.py --target cpu --fenced     # read-only, without rights, as process 1; as root
    python tools/replay_image.py --target baked --build-arg FLAVOUR=cpu --build-arg MODEL=demo

Each `RUN` is run as it stands, but in a folder: an absolute path in it is one below the folder of its stage, and the
image of Python is a new virtual environment. `apt-get` and `useradd` are left out, and said to be. The container is a
process with the environment of the image; as its user, where this is run as root: then that user must be able to run
the interpreter too, which `--python` names. What pip is to use here (an index, wheels in a folder) its own settings
say, or `--build-arg TORCH_CPU_INDEX=...`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from build_context import copy_context
from container_check import Container, check_container, free_port, new_key, user_of
from dockerfile_stages import Dockerfile, Stage, Step, expanded
from image_paths import inside, mounts_of

ROOT: Final = Path(__file__).resolve().parent.parent
DOCKERFILE: Final = ROOT / "deploy" / "docker" / "Dockerfile"
LEFT_OUT: Final = ("apt-get ", "useradd ", "rm -rf /var/lib/apt/")
SYSTEM_PATH: Final = "/usr/bin:/bin"


class Replay:
    """Builds stages in folders.

    Args:
        dockerfile: What to build.
        folder: Where; it must be empty.
        context: What `COPY` copies from.
        python: The interpreter that stands for the one of the images that stages begin with.
    """

    def __init__(self, dockerfile: Dockerfile, folder: Path, context: Path, python: str = sys.executable) -> None:
        self._dockerfile = dockerfile
        self._folder = folder
        self._context = context
        self._python = python
        self.roots: dict[str, Path] = {}
        """The folder that stands for `/` in each stage; a stage shares that of the stage it is based on."""

    def build(self, name: str) -> None:
        """Run the steps of a stage, and before them those of all stages that it needs."""
        if name in self.roots:
            return
        stage = self._dockerfile.stages[name]
        for needed in needed_stages(stage, self._dockerfile):
            self.build(needed)
        if stage.base in self.roots:
            self.roots[name] = self.roots[stage.base]
        else:
            self.roots[name] = self._begin(name, stage.base)
        root, workdir = self.roots[name], "/"
        for step, variables in self._dockerfile.variables(name):
            if step.keyword == "WORKDIR":
                workdir = step.text
                Path(inside(root, workdir)).mkdir(parents=True, exist_ok=True)
            elif step.keyword == "COPY":
                self._copy(step, root, workdir)
            elif step.keyword == "RUN":
                self._run(step, variables, name, workdir)

    def _begin(self, name: str, image: str) -> Path:
        """A folder with nothing but what stands for the image of Python: an interpreter with pip."""
        root = self._folder / name
        (root / "tmp").mkdir(parents=True)
        (root / "tmp").chmod(0o1777)
        subprocess.run([self._python, "-m", "venv", root / "image"], check=True)
        said = subprocess.run([root / "image" / "bin" / "pip", "--version"], check=True, capture_output=True, text=True)
        _say(f"{name}: {self._python} stands for {image}: {said.stdout.partition(' from ')[0]}")
        return root

    def _copy(self, step: Step, root: Path, workdir: str) -> None:
        source, target = step.text.split()
        stage = step.flag("from")
        origin = Path(inside(self.roots[stage], source)) if stage else self._context / source
        goal = Path(inside(root, os.path.join(workdir, target)))
        if origin.is_dir():
            shutil.copytree(origin, goal, symlinks=True, dirs_exist_ok=True)
            return
        if target.endswith("/"):
            goal /= origin.name
        goal.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(origin, goal)

    def _run(self, step: Step, variables: dict[str, str], name: str, workdir: str) -> None:
        root = self.roots[name]
        mounts = mounts_of(step, self.roots)
        env = self.environment(variables, root)
        before = _n_bytes(root / "opt")
        started = time.monotonic()
        for part in step.text.split(" && "):
            if part.startswith(LEFT_OUT):
                _say(f"{name}: left out: {part}")
                continue
            command = inside(root, _with_numbers(part), mounts)
            result = subprocess.run(["sh", "-ec", command], env=env, cwd=inside(root, workdir), check=False)
            if result.returncode:
                sys.exit(f"line {step.line}: status {result.returncode} of: {command}")
        size = (_n_bytes(root / "opt") - before) / 1e6
        _say(f"{name}: line {step.line}: {time.monotonic() - started:.0f} s, {size:.0f} MB")

    def environment(self, variables: dict[str, str], root: Path) -> dict[str, str]:
        """What a step sees: pip's settings of this machine, and the image's variables with paths below the folder."""
        ours = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "http", "HTTP"))}
        path = f"{root / 'image' / 'bin'}:{SYSTEM_PATH}"
        env = {name: inside(root, value).replace("$PATH", path) for name, value in variables.items()}
        ours |= {"PIP_QUIET": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        return ours | {"PATH": path, "HOME": str(root / "root"), "TMPDIR": str(root / "tmp")} | env


def needed_stages(stage: Stage, dockerfile: Dockerfile) -> list[str]:
    """The stages that one is based on or takes something from."""
    found = [stage.base]
    for step in stage.steps:
        found += [step.flag("from") or ""]
        found += [mount.get("from", "") for mount in (_pairs(value) for name, value in step.flags if name == "mount")]
    return [name for name in found if name in dockerfile.stages]


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.partition("=")[::2] for pair in text.split(","))


def _with_numbers(command: str) -> str:
    """Owners by number: the user of the image has no name here. Whoever is not root owns everything."""
    if os.getuid() == 0:
        return command.replace("--owner=ifw --group=ifw", "--owner=10001 --group=10001")
    return command.replace("--owner=ifw --group=ifw ", "")


def _n_bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()) if folder.exists() else 0


def _say(text: str) -> None:
    print(f"[image] {text}", flush=True)


def container_of(
    replay: Replay, dockerfile: Dockerfile, target: str, folder: Path, *, is_fenced: bool = False
) -> Container:
    """What `docker run` would start, on a free port of loopback, with the demo model unless another is baked in."""
    config, root = dockerfile.config(target), replay.roots[target]
    env = {name: inside(root, value).replace("$PATH", SYSTEM_PATH) for name, value in config.env.items()}
    env |= {"HOME": str(root / "tmp"), "TMPDIR": str(root / "tmp")}
    env |= {"IFW_HOST": "127.0.0.1", "IFW_PORT": str(free_port()), "ADMIN_KEY": new_key()}
    return Container(
        command=config.entrypoint + config.command,
        health_command=[inside(root, part) for part in config.health_command],
        env={"IFW_MODEL": "demo", "IFW_N_THREADS": "2"} | env,
        folder=folder,
        user=user_of(expanded(config.user, {})),
        writable=[Path(inside(root, path)) for path in (*config.volumes, "/tmp")] if is_fenced else None,
    )


def check_contents(root: Path) -> None:
    """What the image must hold and must not.

    Raises:
        SystemExit: Something is missing, or there that should not be.
    """
    ifw = root / "opt" / "ifw"
    (package,) = ifw.glob("lib/python3*/site-packages/ifw")
    sources = {path for path in ifw.rglob("*.py") if "site-packages" in path.parts}
    compiled = {path.parent.parent / f"{path.name.split('.')[0]}.py" for path in ifw.rglob("__pycache__/*.pyc")}
    _say(f"/opt/ifw: {_n_bytes(ifw) / 1e6:.0f} MB, bytecode of {len(sources & compiled)} of {len(sources)} modules")
    if (ifw / "bin" / "pip").exists():
        sys.exit("pip is in the environment of the server")
    if not (package / "demo" / "model.safetensors").exists():
        sys.exit("the demo model is not in the wheel")
    if (package / "kernels").exists() and not list((package / "kernels").glob("*.native")):
        sys.exit("the native kernels are not in the wheel: the stage that builds it has no compiler that they know")
    if len(sources & compiled) < 0.95 * len(sources):
        sys.exit("modules have no bytecode: every start would compile them")


def require_reachable(root: Path, user: str) -> None:
    """The user of the image must be able to run its interpreter.

    Raises:
        SystemExit: It lies where only root may go.
    """
    numbers = user_of(user)
    if numbers is None:
        return
    try:
        subprocess.run(
            [root / "opt/ifw/bin/python", "-c", ""], check=True, user=numbers[0], group=numbers[1], extra_groups=[]
        )
    except PermissionError:
        sys.exit(f"user {numbers[0]} of the image may not run the interpreter: name another one by --python")


def main() -> None:
    """Build and check one target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="cpu", help="a stage of the Dockerfile (default: cpu)")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE", help="as of docker build")
    parser.add_argument("--python", default=sys.executable, help="stands for the image of Python (default: this one)")
    parser.add_argument("--fenced", action="store_true", help="as Compose and Kubernetes run it; needs root")
    arguments = parser.parse_args()
    if arguments.fenced and os.getuid() != 0:
        parser.error("--fenced: got a user, allowed: root, who can make folders read-only")
    dockerfile = Dockerfile(DOCKERFILE, dict(pair.partition("=")[::2] for pair in arguments.build_arg))
    with tempfile.TemporaryDirectory(prefix="ifw-image-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the user of the image must get through
        n_files, n_bytes = copy_context(ROOT, DOCKERFILE, folder / "context")
        _say(f"context: {n_files} files, {n_bytes / 1e6:.1f} MB")
        replay = Replay(dockerfile, folder, folder / "context", arguments.python)
        replay.build("base")
        require_reachable(replay.roots["base"], dockerfile.config(arguments.target).user)
        replay.build(arguments.target)
        check_contents(replay.roots[arguments.target])
        container = container_of(replay, dockerfile, arguments.target, folder, is_fenced=arguments.fenced)
        before = _listing(replay.roots[arguments.target])
        check_container(container, _say)
        if _listing(replay.roots[arguments.target]) != before:
            sys.exit("something was written outside of the volumes and /tmp")
        _say(f"nothing was written outside of the volumes and /tmp; user {container.user or 'of the caller'}")


def _listing(root: Path) -> set[tuple[str, int]]:
    return {(str(path), path.lstat().st_mtime_ns) for path in (root / "opt").rglob("*")}


if __name__ == "__main__":
    main()
