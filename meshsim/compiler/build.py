"""Has the modules compiled, to C by Cython and to extensions by the C compiler, on all cores."""

from __future__ import annotations

import json
import os
import shutil
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext

from meshsim import forms
from meshsim.compiler.header import header
from meshsim.compiler.modules import ENGINE, LIVE, MODULES
from meshsim.compiler.read import read
from meshsim.compiler.rewrite import rewrite

ROOT = forms.PACKAGE.parent
PARTS = {"engine": ENGINE, "live": LIVE}
FOLDER = "meshsim._compiled"

DIRECTIVES: dict[str, Any] = {
    "language_level": 3,
    "infer_types": True,  # of local variables: what the declarations leave out
    "boundscheck": True,
    "nonecheck": True,
    "initializedcheck": False,  # a column that was never set has no length, which the check of bounds sees
    "wraparound": False,  # the sources count from the front
    "cdivision": False,
    "annotation_typing": False,  # the declarations say it all
    "auto_pickle": False,
    "binding": False,
}
UNCHECKED: dict[str, Any] = {"boundscheck": False, "nonecheck": False}

# No contraction of a·b + c into one rounding: both forms must compute the same bits.
FLAGS = ["-O3", "-ffp-contract=off", "-fwrapv", "-fno-strict-aliasing", "-g0", "-w"]


def say(text: str) -> None:
    """Tells how far the build is."""
    print(f"meshsim: {text}", file=sys.stderr, flush=True)


def generate(folder: Path) -> list[Extension]:
    """Writes the sources as Cython reads them.

    Returns:
        An extension for each module, under its own name, with the written file as its source.
    """
    program = read(ROOT, MODULES)
    made = []
    for name, module in program.modules.items():
        file = folder / (name.replace(".", "/") + ".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        for place in file.relative_to(folder).parents:
            (folder / place / "__init__.pxd").touch()
            (folder / place / "__init__.py").touch()
        file.write_text(rewrite(program, module), encoding="utf-8")
        file.with_suffix(".pxd").write_text(header(program, module), encoding="utf-8")
        made.append(Extension(name, [str(file)]))
    for stray in (folder / "__init__.py", folder / "__init__.pxd"):
        stray.unlink(missing_ok=True)
    return made


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def translate(folder: Path, directives: dict[str, Any], names: set[str]) -> dict[str, list[str]]:
    """Has Cython make C of the written sources: the C files by the extension that they are for.

    Args:
        folder: where they are written.
        directives: Cython's.
        names: of the extensions that are wanted; of the other modules only the declarations are.
    """
    from Cython.Build import cythonize  # noqa: PLC0415 - only who builds has it

    say(f"translating {len(names)} modules to C")
    made = cythonize(
        [each for each in generate(folder) if _placed(each.name) in names],
        nthreads=cores(),
        compiler_directives=directives,
        include_path=[str(folder)],
        quiet=True,
        force=True,
    )
    return {_placed(each.name): each.sources for each in made}


def digests() -> dict[str, str]:
    """What tells the sources of each part, as they are, from any others."""
    engine = forms.digest(ENGINE)
    return {"engine": engine, "live": forms.digest(LIVE, on=engine)}


def _placed(name: str) -> str:
    """The name of the extension that holds a module: where it lies."""
    return f"{FOLDER}.{name.partition('.')[2]}"


def _flags() -> list[str]:
    if sys.platform == "win32":
        return ["/O2", "/fp:precise"]
    indirect = ["-fno-plt"] if sys.platform == "linux" else []  # calls into Python without a detour
    return [*FLAGS, *indirect, *os.environ.get("MESHSIM_CFLAGS", "").split()]


class Build(build_ext):
    """Setuptools' command, which builds all of the modules or none, and says what it does.

    A partly compiled mesh can't run; so whatever goes wrong, the installation goes on, uncompiled.
    """

    directives = DIRECTIVES
    checked = True
    done = 0
    extensions: list[Extension]

    def finalize_options(self) -> None:
        self.made_of: dict[str, str] = {}
        self.parallel = cores()
        super().finalize_options()

    def run(self) -> None:
        """Translates, compiles, and writes down what it was made of."""
        if os.environ.get("MESHSIM_BUILD") == "no":  # whoever only wants the dependencies
            self.extensions = []
            return
        if self.editable_mode and forms.fresh():
            say("the compiled engine is up to date")
            self.extensions = []
            return
        with tempfile.TemporaryDirectory(prefix="meshsim-build-") as folder:
            try:
                self._target().joinpath("manifest.json").unlink(missing_ok=True)
                self.made_of = digests()
                names = {extension.name for extension in self.extensions}
                sources = translate(Path(folder), self.directives, names)
                for extension in self.extensions:
                    self._folder(extension)
                    extension.sources = sources[extension.name]
                    extension.extra_compile_args = _flags()
                self.build_temp = str(Path(folder) / "objects")
                super().run()
                self._manifest()
            except BaseException as error:
                self._give_up(error)
                if not isinstance(error, Exception):
                    raise

    def build_extensions(self) -> None:
        """Compiles, the largest first, on all cores."""
        say(f"compiling {len(self.extensions)} modules on {self.parallel} cores")
        largest_first = sorted(self.extensions, key=lambda each: -Path(each.sources[0]).stat().st_size)
        with ThreadPoolExecutor(self.parallel) as pool:
            for _ in pool.map(self._one, largest_first):
                pass

    def _one(self, extension: Extension) -> None:
        self.build_extension(extension)
        self.done += 1
        say(f"[{self.done}/{len(self.extensions)}] {extension.name.removeprefix(FOLDER + '.')}")

    def _folder(self, extension: Extension) -> None:
        """Makes the folder that an extension goes into: in place, setuptools expects it to be there."""
        place = ROOT if self.inplace else Path(self.build_lib)
        (place / extension.name.replace(".", "/")).parent.mkdir(parents=True, exist_ok=True)

    def _target(self) -> Path:
        return Path(self.get_ext_fullpath(f"{FOLDER}.manifest")).parent

    def _manifest(self) -> None:
        if digests() != self.made_of:
            raise RuntimeError("a source was changed meanwhile; build again")
        manifest = {
            "parts": {
                part: {"modules": PARTS[part], "digest": digest} for part, digest in self.made_of.items()
            },
            "checked": self.checked,
            "flags": os.environ.get("MESHSIM_CFLAGS", ""),
            "suffix": sysconfig.get_config_var("EXT_SUFFIX"),
        }
        target = self._target()
        target.mkdir(parents=True, exist_ok=True)
        (target / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        say("the compiled engine is built")

    def _give_up(self, error: BaseException) -> None:
        self.extensions = []
        shutil.rmtree(self._target(), ignore_errors=True)
        lines = str(error).strip().splitlines() or [type(error).__name__]
        for line in (
            f"NOT COMPILED: {lines[0]}",
            "meshsim works all the same, on SimPy, some thirty times slower; to have the fast engine,",
            "install a C compiler (such as gcc) and Python's headers, and then meshsim once more",
        ):
            say(line)


def extensions(names: list[str] = MODULES) -> list[Extension]:
    """What setuptools is told of: placeholders, which `Build` replaces when it runs."""
    return [Extension(_placed(name), [], optional=True) for name in names]


def build_in_place(*, checked: bool = True, stale: bool = False) -> bool:
    """Compiles into the package's own folder; whether it worked.

    Args:
        checked: with checks of bounds and None.
        stale: only what is older than its sources.
    """
    kept = stale and checked and forms.fresh("engine")
    names = LIVE if kept else MODULES
    command = Build(Distribution({"name": "meshsim", "ext_modules": extensions(names), "packages": []}))
    command.inplace = False
    command.directives = DIRECTIVES if checked else {**DIRECTIVES, **UNCHECKED}
    command.checked = checked
    command.build_lib = str(ROOT)
    if not kept:
        shutil.rmtree(forms.COMPILED, ignore_errors=True)
    command.ensure_finalized()
    command.run()
    return forms.MANIFEST.exists()
