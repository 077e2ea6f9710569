"""Builds the Python package; meson builds the C core that the extensions link."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent.resolve()
MESON_DIR = ROOT / "build" / "meson"
LIBRARY = MESON_DIR / "libringwheel.a"
BENCH_LIBRARY = MESON_DIR / "librwbench.a"
PACKAGES = ["", ".media", ".media.sdp", ".media.sip", ".cli", ".bench"]


def meson(*arguments: str) -> None:
    """Run meson: the module of this interpreter (an isolated build has it), else the command."""
    probe = [sys.executable, "-m", "mesonbuild.mesonmain"]
    found = subprocess.run([*probe, "--version"], capture_output=True, check=False).returncode == 0
    command = probe if found else [shutil.which("meson") or "meson"]
    subprocess.run([*command, *arguments], check=True, cwd=ROOT)


class BuildWithMeson(build_ext):
    """`build_ext` that brings the static C library up to date first."""

    def run(self) -> None:
        # Always reconfigure: an isolated build leaves the path of a dead meson behind.
        again = ["--reconfigure"] if (MESON_DIR / "build.ninja").exists() else []
        meson("setup", *again, "-Dtests=false", str(MESON_DIR), str(ROOT))
        meson("compile", "-C", str(MESON_DIR))
        super().run()


def extension(name: str, source: str, *libraries: Path) -> Extension:
    """One Cython module over static libraries; rebuilt when C, .pyx or .pxi changes."""
    folder = Path(source).parent
    archives = [str(library) for library in libraries]
    return Extension(
        name,
        [source],
        include_dirs=["csrc"],
        define_macros=[("_GNU_SOURCE", None)],
        extra_objects=archives,
        libraries=["pthread", "m"],
        depends=[
            *archives,
            *map(str, folder.glob("binding/*.pxi")),
            *map(str, Path("csrc").glob("*/*.h")),
        ],
    )


# The cffi binding serves property tests only, so ordinary installs do not compile it.
TEST_BINDING = ["csrc/test/cffi_build.py:ffi"] if os.environ.get("RINGWHEEL_TEST_BINDING") else []

setup(
    packages=["ringwheel" + name for name in PACKAGES],
    package_dir={"ringwheel": "."},
    package_data={
        "ringwheel": ["py.typed"],
        "ringwheel.media": ["*.pyi"],
        "ringwheel.bench": ["*.pyi"],
    },
    ext_modules=cythonize(
        [
            extension("ringwheel.media._core", "media/_core.pyx", LIBRARY),
            extension("ringwheel.bench._native", "bench/_native.pyx", BENCH_LIBRARY, LIBRARY),
        ],
        language_level=3,
        compiler_directives={"freethreading_compatible": False},
    ),
    cffi_modules=TEST_BINDING,
    cmdclass={"build_ext": BuildWithMeson},
)
