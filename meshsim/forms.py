"""Which form of the mesh is loaded: compiled, or the plain sources.

The compiled modules lie in ``meshsim/_compiled``, in two extensions: all of the engine, and all of the live
proxy. A module's names are taken from there, in place of its source, only if they were made of exactly these
sources; an extension that is older, or made for something else, is left alone, and `FORM` says so. So a
change of a source takes effect at once, in the plain form, and is never silently ignored.

The environment variable MESHSIM_FORM chooses: ``plain`` loads the sources in any case (to step through them
with a debugger), ``compiled`` insists.
"""

# ruff: noqa: PLC0415 - whoever imports meshsim imports this: what is slow waits until the form is chosen
from __future__ import annotations

import os
import sys
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import Any

PACKAGE = Path(__file__).parent
COMPILED = PACKAGE / "_compiled"
MANIFEST = COMPILED / "manifest.json"
ENGINE = ("meshsim.mesh.", "meshsim.policies.", "meshsim.random")
LIVE = ("meshsim.live.wire.", "meshsim.live.proxy.", "meshsim.live.clock", "meshsim.live.transport")
"""How the names of what is compiled begin, where that is not known better."""
MAYBE = ("meshsim.mesh", "meshsim.policies", "meshsim.random", "meshsim.engine", "meshsim.live")
"""How they begin in any case."""
REMEDY = "`make build` in a clone, or `pip install -e .`, compiles it (it needs a C compiler, such as gcc)"


def source(name: str) -> Path:
    """The source of a module."""
    return PACKAGE.parent / (name.replace(".", "/") + ".py")


def digest(names: Sequence[str], on: str = "") -> str:
    """What distinguishes these sources, and how they are compiled, from any others.

    Args:
        names: of the modules.
        on: the digest of those on which they stand.
    """
    import hashlib

    total = hashlib.blake2b(on.encode(), digest_size=16)
    compiler = sorted(f"meshsim.compiler.{file.stem}" for file in (PACKAGE / "compiler").glob("*.py"))
    for name in names if on else [*names, *compiler]:
        total.update(name.encode() + b"\0" + source(name).read_bytes() + b"\0")
    return total.hexdigest()


def model() -> str:
    """Identifies the sources that decide a run's numbers: results of two models don't mix."""
    import hashlib

    total = hashlib.blake2b(digest_size=16)
    for part in ("random.py", "policies", "mesh", "engine", "scenario", "measure"):
        place = PACKAGE / part
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            total.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return total.hexdigest()


class Form:
    """The form that this process has loaded, and why.

    Attributes:
        compiled: whether it is the compiled one.
        checked: whether the compiled one checks bounds and None.
        live: whether the live proxy is compiled too.
        reason: why it is the plain one; empty where that was asked for, and for the compiled one.
    """

    def __init__(self, compiled: bool, checked: bool, reason: str, live: bool = False) -> None:
        self.compiled = compiled
        self.checked = checked
        self.reason = reason
        self.live = live

    def __str__(self) -> str:
        if self.compiled:
            return "compiled" if self.checked else "compiled, unchecked"
        return "plain"


class Names:
    """Makes a module of the names that an extension has for all of its modules."""

    def __init__(self, part: str) -> None:
        from importlib import import_module

        # NOTE: before the module is made: what the extension imports may import the module meanwhile.
        self.part = import_module(f"meshsim._compiled.{part}")

    def spec(self, name: str) -> ModuleSpec:
        """What Python's import makes the module by."""
        made = ModuleSpec(name, self, origin=self.part.__file__)  # type: ignore[arg-type]  # it is a loader
        made.has_location = True
        return made

    def create_module(self, spec: ModuleSpec) -> None:
        """Python makes the module itself."""

    def exec_module(self, module: ModuleType) -> None:
        """Fills the module."""
        names = {name: value for name, value in vars(self.part).items() if not name.startswith("__")}
        vars(module).update(names)


class Finder:
    """Finds compiled modules before Python finds their sources, and chooses when the first is looked for."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The compiled module of this name, if there is one.

        Raises:
            ImportError: only that was asked for, and there is none.
        """
        if not fullname.startswith(MAYBE):
            return None
        form, parts = chosen()
        if fullname in parts:
            return Names(parts[fullname]).spec(fullname)
        if _wanted() == "compiled" and not form.live:
            why = form.reason or "the compiled proxy is older than its sources"
            if fullname.startswith(LIVE if form.compiled else (*ENGINE, *LIVE)):
                raise ImportError(f"MESHSIM_FORM=compiled, but {why}; {REMEDY}")
        return None


@cache
def chosen() -> tuple[Form, dict[str, str]]:
    """What this process loads, and the extensions by the modules that they hold."""
    return (Form(False, False, ""), {}) if _wanted() == "plain" else _look()


def _wanted() -> str:
    wanted = os.environ.get("MESHSIM_FORM", "")
    if wanted not in ("", "plain", "compiled"):
        raise ImportError(
            f"MESHSIM_FORM={wanted} is not a form of the mesh; write plain or compiled, or leave it out"
        )
    return wanted


def fresh(part: str = "live") -> bool:
    """Whether a checked build of the sources as they are lies ready, whatever form was asked for.

    Args:
        part: ``engine`` or, with that, ``live``.
    """
    form, _ = _look()
    return form.compiled and form.checked and (form.live or part == "engine")


def _look() -> tuple[Form, dict[str, str]]:
    import json

    try:
        manifest = json.loads(MANIFEST.read_text(encoding="utf-8"))
        parts, checked = manifest["parts"], manifest["checked"]
        engine, live = parts["engine"], parts["live"]
    except (OSError, ValueError, KeyError, TypeError):
        return Form(False, False, "the compiled engine is not built"), {}
    suffix = manifest.get("suffix")
    if suffix not in EXTENSION_SUFFIXES:
        return Form(False, False, "the compiled engine was built for another Python"), {}
    if manifest.get("flags") != os.environ.get("MESHSIM_CFLAGS", ""):
        return Form(False, False, "the compiled engine was built with other flags for the C compiler"), {}
    there = _modules("engine", engine, suffix)
    if not there:
        return Form(False, False, "the compiled engine is older than its sources"), {}
    more = _modules("live", live, suffix, on=engine["digest"])
    return Form(True, checked, "", bool(more)), {**there, **more}


def _modules(part: str, manifest: dict[str, Any], suffix: str, on: str = "") -> dict[str, str]:
    """The part by each of the modules that it holds; nothing if it is older than their sources."""
    try:
        names = manifest["modules"]
        same = digest(names, on) == manifest["digest"] and (COMPILED / f"{part}{suffix}").exists()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # a damaged manifest is of no build
        return {}
    return dict.fromkeys(names, part) if same else {}


FORM: Form
"""What this process loads."""


def __getattr__(name: str) -> Form:
    if name != "FORM":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return chosen()[0]


_wanted()
sys.meta_path.insert(0, Finder())
