"""Compiles the native kernels when the package is built or installed, where there is a compiler for them."""

from __future__ import annotations

import importlib.util
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

KERNELS = "src/ifw/kernels"


class KernelsBuildHook(BuildHookInterface):
    """Puts the library beside the modules that load it, and into the wheel; without it the package uses torch alone."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile."""
        spec = importlib.util.spec_from_file_location("ifw_kernels_build", Path(self.root, KERNELS, "build.py"))
        build = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(build)
        try:
            levels = build.build()
        except build.BuildError as error:
            build.LIBRARY.unlink(missing_ok=True)
            self.app.display_warning(f"no native kernels, so CPUs are left to torch: {error}")
            return
        self.app.display_info(f"native kernels for {', '.join(levels)}")
        build_data["artifacts"].append(f"{KERNELS}/{build.LIBRARY.name}")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
