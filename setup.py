"""Builds the Python package; meson builds the C core that the extensions link."""

import json
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
PACKAGES = [
    "",
    ".media",
    ".media.sdp",
    ".media.sip",
    ".media.trunk",
    ".media.monitor",
    ".robot",
    ".robot.channels",
    ".robot.grammar",
    ".robot.script",
    ".robot.speech",
    ".robot.speech.server",
    ".robot.speech.engines",
    ".robot.speech.mrcp",
    ".robot.speech.stream",
    ".cli",
    ".bench",
]


def meson(*arguments: str) -> str:
    """Run meson: the module of this interpreter (an isolated build has it), else the command.

    What `meson introspect` prints is the answer; anything else prints for people.
    """
    probe = [sys.executable, "-m", "mesonbuild.mesonmain"]
    found = subprocess.run([*probe, "--version"], capture_output=True, check=False).returncode == 0
    command = probe if found else [shutil.which("meson") or "meson"]
    output = subprocess.PIPE if arguments[0] == "introspect" else None
    done = subprocess.run(
        [*command, *arguments], check=True, cwd=ROOT, stdout=output, encoding="utf-8"
    )
    return done.stdout or ""


def wanted_features() -> list[str]:
    """Meson options for RINGWHEEL_REQUIRE, such as ``opus``: optional parts that must be there."""
    required = os.environ.get("RINGWHEEL_REQUIRE", "").split()
    return [f"-D{name}=enabled" for name in required]


class BuildWithMeson(build_ext):
    """`build_ext` that brings the static C library up to date first."""

    def run(self) -> None:
        # Always reconfigure: an isolated build leaves the path of a dead meson behind.
        again = ["--reconfigure"] if (MESON_DIR / "build.ninja").exists() else []
        options = ["-Dtests=false", *wanted_features()]
        meson("setup", *again, *options, str(MESON_DIR), str(ROOT))
        meson("compile", "-C", str(MESON_DIR))
        # The archive needs what meson found of the optional libraries.
        for found in json.loads(meson("introspect", "--dependencies", str(MESON_DIR))):
            for extension in self.extensions:
                extension.extra_link_args += ["-Wl,--as-needed", *found["link_args"]]
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
        "ringwheel.robot.script": ["schema.json"],
        "ringwheel.cli": ["demo_survey.yaml"],
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
