"""Builds the compiled models into a wheel where cargo (Rust) is at hand; elsewhere the wheel is pure Python and says so.

`STREAM_RETRAIN_NATIVE=off` builds none, `on` fails where they cannot be built, and the path of a file `.so` takes that. An installation in
place (`pip install --editable`) gets them into the source folder. `python hatch_build.py` does that alone: it is what `make native` calls.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # `make native`, in an environment that builds no wheel
    BuildHookInterface = object

ROOT = Path(__file__).parent
CRATE = ROOT / "native"
MODULE = "stream_retrain/_native.abi3.so"
BUILD_TIMEOUT_S = 900
"""Building takes half a minute; waiting for a registry that cannot be reached may have no end."""
PURE = "the models will compute in Python, at a tenth of the speed"


class CustomBuildHook(BuildHookInterface):  # type: ignore[misc]
    """What hatchling calls."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before a wheel is built; `version` says whether it is for an installation in place."""
        if self.target_name != "wheel":
            return
        built, why = build()
        if built is None:
            self.app.display_warning(f"without compiled models: {why}; {PURE}")
        elif version == "editable":
            put_in_place(built)
        else:
            build_data["force_include"][str(built)] = MODULE
            build_data["pure_python"] = False
            build_data["tag"] = f"cp311-abi3-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"


def build() -> tuple[Path | None, str]:
    """The compiled models; or None, and why there are none."""
    wanted = os.environ.get("STREAM_RETRAIN_NATIVE", "auto")
    if wanted == "off":
        return None, "STREAM_RETRAIN_NATIVE is off"
    if wanted.endswith(".so"):
        return Path(wanted).absolute(), ""
    built, why = _built()
    if built is None and wanted == "on":
        raise SystemExit(f"the compiled models are wanted (STREAM_RETRAIN_NATIVE=on) and were not built: {why}")
    return built, why


def _built() -> tuple[Path | None, str]:
    cargo = shutil.which("cargo")
    if cargo is None:
        return None, "cargo (Rust) is not installed"
    target = Path(os.environ.get("CARGO_TARGET_DIR", CRATE / "target"))
    flags = "-C link-arg=-undefined -C link-arg=dynamic_lookup" if sys.platform == "darwin" else ""
    try:
        done = subprocess.run(
            [cargo, "build", "--release", "--quiet", "--target-dir", str(target)],
            cwd=CRATE,
            env={**os.environ, "STREAM_RETRAIN_SOURCES": sources(), "RUSTFLAGS": f"{os.environ.get('RUSTFLAGS', '')} {flags}".strip()},
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=BUILD_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return None, f"cargo took more than {BUILD_TIMEOUT_S} s; it may not reach its registry"
    if done.returncode:
        return None, f"cargo failed: {' / '.join(done.stderr.strip().splitlines()[-3:])}"
    suffix = "dylib" if sys.platform == "darwin" else "so"
    return target / "release" / f"libstream_retrain_native.{suffix}", ""


def put_in_place(built: Path) -> None:
    """Into the package, in one step: a process that runs keeps the file that it has opened."""
    module = ROOT / MODULE
    new = module.with_name(f".{module.name}.new")
    shutil.copyfile(built, new)
    new.replace(module)


def sources() -> str:
    """A digest of what the compiled models are built from; they keep it, and a test compares."""
    hashed = hashlib.sha256()
    for file in [CRATE / "Cargo.toml", *sorted((CRATE / "src").rglob("*.rs"))]:
        hashed.update(file.relative_to(CRATE).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return hashed.hexdigest()[:16]


if __name__ == "__main__":
    made, reason = build()
    if made is None:
        sys.exit(f"The compiled models were not built: {reason}. Until then {PURE}.")
    put_in_place(made)
    print(f"{MODULE} is built.")  # noqa: T201  it is what the command says
