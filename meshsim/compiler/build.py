"""Has the modules compiled, to C by Cython and to extensions by the C compiler, on all cores."""

from __future__ import annotations

import json
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext

from meshsim import forms
from meshsim.compiler.header import header
from meshsim.compiler.modules import MODULES, PARTS, PASSING
from meshsim.compiler.read import read, refuse_two_meanings, refuse_untyped
from meshsim.compiler.rewrite import rewrite
from meshsim.compiler.types import without_none

ROOT = forms.PACKAGE.parent
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
FLAGS = ["-ffp-contract=off", "-fwrapv", "-fno-strict-aliasing", "-g0", "-w"]
# What gcc inlines is a matter of taste. So much costs the engine twice the time to compile, a sixth fewer
# instructions a request; more of it is no faster any more.
INLINING = {
    "inline-min-speedup": 3,
    "inline-unit-growth": 400,
    "large-function-growth": 2000,
    "large-unit-insns": 1_000_000,
    "max-inline-insns-auto": 120,
    "max-inline-insns-single": 600,
}


def say(text: str) -> None:
    """Tells how far the build is."""
    print(f"meshsim: {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Known:
    """What can't be said in the declarations.

    Attributes:
        passing: classes that the cycle collector is not to know.
        never_none: (class, attribute): annotated, and not with None, so that it needs no look before its use.
    """

    passing: set[str]
    never_none: set[tuple[str, str]]


def generate(folder: Path) -> Known:
    """Writes the sources as Cython reads them, and for each part a module that holds nothing of its own."""
    program = read(ROOT, MODULES)
    place = folder / FOLDER.replace(".", "/")
    place.mkdir(parents=True)
    for package in (place, place.parent):
        (package / "__init__.py").touch()
    below = ""
    for part, names in PARTS.items():
        refuse_two_meanings(program, names)
        refuse_untyped(program, names)
        for name in names:
            file = folder / source_of(name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(rewrite(program, program.modules[name], names), encoding="utf-8")
        (place / f"{part}.pxd").write_text(header(program, names, below), encoding="utf-8")
        (place / f"{part}.py").write_text("import cython\n", encoding="utf-8")
        below = f"{FOLDER}.{part}"
    passing = [cls for cls in program.classes() if cls.name in PASSING]
    return Known(
        {above.name for cls in passing for above in program.lineage(cls)},
        {
            (cls.name, name)
            for cls in program.classes()
            for above in program.lineage(cls)
            for name, annotation in above.attributes.items()
            if above.module in PARTS["engine"] and annotation is without_none(annotation)
        },
    )


def source_of(name: str) -> str:
    """Where a module's source lies, from the folder that holds the package."""
    return name.replace(".", "/") + ".py"


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def translate(folder: Path, directives: dict[str, Any], known: Known, part: str) -> str:
    """Has Cython make one C file of all the sources of a part; for a process of its own.

    NOTE: Cython knows modules of one file. Here the files' trees become one before it looks at what they say;
    each statement knows its file and line, for tracebacks. Nor does it heed `no_gc` in a declaration.

    Args:
        folder: where the sources are written.
        directives: Cython's.
        known: what the declarations don't say.
        part: what is wanted.

    Returns:
        The C file.
    """
    # only who builds has it
    from Cython.Build import cythonize  # noqa: PLC0415
    from Cython.Compiler.ExprNodes import AttributeNode, NameNode  # noqa: PLC0415
    from Cython.Compiler.Main import Context  # noqa: PLC0415
    from Cython.Compiler.Scanning import FileSourceDescriptor  # noqa: PLC0415
    from Cython.Compiler.Symtab import CClassScope  # noqa: PLC0415

    name = f"{FOLDER}.{part}"
    parse = Context.parse

    def parse_all(context: Any, source: Any, scope: Any, pxd: bool, full_module_name: str) -> Any:
        tree = parse(context, source, scope, pxd, full_module_name)
        if not pxd and full_module_name == name:
            for module in PARTS[part]:
                file = FileSourceDescriptor(source_of(module))
                tree.body.stats += parse(context, file, scope, pxd, full_module_name).body.stats
        return tree

    attribute_may, name_may, needs_gc = (
        AttributeNode.may_be_none, NameNode.may_be_none, CClassScope.needs_gc
    )  # fmt: skip

    def attribute_may_be_none(node: Any) -> bool:
        owner = getattr(node.obj.type, "name", "")
        return (owner, node.attribute) not in known.never_none and bool(attribute_may(node))

    def name_may_be_none(node: Any) -> bool:
        return node.name != "self" and bool(name_may(node))

    def collected(scope: Any) -> bool:
        return scope.name not in known.passing and bool(needs_gc(scope))

    changed: list[Any] = [Context, AttributeNode, NameNode, CClassScope]
    changed[0].parse, changed[1].may_be_none = parse_all, attribute_may_be_none
    changed[2].may_be_none, changed[3].needs_gc = name_may_be_none, collected
    os.chdir(folder)  # tracebacks name the files as seen from here
    (made,) = cythonize(
        [Extension(name, [source_of(name)])],
        compiler_directives=directives,
        include_path=["."],
        quiet=True,
        force=True,
    )
    return str(folder / made.sources[0])


def digests() -> dict[str, str]:
    """What distinguishes the sources of each part, as they are, from any others."""
    engine = forms.digest(PARTS["engine"])
    return {"engine": engine, "live": forms.digest(PARTS["live"], on=engine)}


def _flags(part: str) -> list[str]:
    if sys.platform == "win32":
        return ["/O2", "/fp:precise"]
    # the live part spends its time in Python's own sockets and loops: -O3 makes nothing of it faster
    flags = ["-O3" if part == "engine" else "-O2", *FLAGS]
    if sys.platform == "linux":
        flags.append("-fno-plt")  # calls into Python without a detour
    if part == "engine" and "gcc" in (os.environ.get("CC") or sysconfig.get_config_var("CC") or ""):
        flags += ["-fno-tree-vectorize", *(f"--param={name}={value}" for name, value in INLINING.items())]
    return [*flags, *os.environ.get("MESHSIM_CFLAGS", "").split()]


class Build(build_ext):
    """Setuptools' command, which builds all of the modules or none, and says what it does.

    A partly compiled mesh can't run; so whatever goes wrong, the installation goes on, uncompiled.
    """

    directives = DIRECTIVES
    checked = True
    extensions: list[Extension]

    def finalize_options(self) -> None:
        self.made_of: dict[str, str] = {}
        self.parallel = cores()  # setuptools compiles as many extensions at once
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
                parts = [extension.name.removeprefix(f"{FOLDER}.") for extension in self.extensions]
                say(f"translating to C: {', '.join(parts)}")
                known = generate(Path(folder))
                with ProcessPoolExecutor(cores()) as pool:
                    sources = pool.map(partial(translate, Path(folder), self.directives, known), parts)
                say("compiling")
                for extension, part, source in zip(self.extensions, parts, sources, strict=True):
                    self._folder(extension)
                    extension.sources = [source]
                    extension.extra_compile_args = _flags(part)
                self.build_temp = str(Path(folder) / "objects")
                super().run()
                self._manifest()
            except BaseException as error:
                self._give_up(error)
                if not isinstance(error, Exception):
                    raise

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


def extensions(parts: Iterable[str] = PARTS) -> list[Extension]:
    """What setuptools gets: placeholders, which `Build` fills when it runs."""
    return [Extension(f"{FOLDER}.{part}", []) for part in parts]


def build_in_place(*, checked: bool = True, stale: bool = False) -> bool:
    """Compiles into the package's own folder; whether it worked.

    Args:
        checked: with checks of bounds and None.
        stale: only what is older than its sources.
    """
    kept = stale and checked and forms.fresh("engine")
    parts = ["live"] if kept else list(PARTS)
    command = Build(Distribution({"name": "meshsim", "ext_modules": extensions(parts), "packages": []}))
    command.inplace = False
    command.directives = DIRECTIVES if checked else {**DIRECTIVES, **UNCHECKED}
    command.checked = checked
    command.build_lib = str(ROOT)
    if not kept:
        shutil.rmtree(forms.COMPILED, ignore_errors=True)
    command.ensure_finalized()
    command.run()
    return forms.MANIFEST.exists()
