"""What the compiler makes of a source: its declarations, and its text line for line."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from meshsim import forms
from meshsim.compiler.header import header, is_open
from meshsim.compiler.modules import ENGINE, LIVE, MODULES
from meshsim.compiler.read import Program, read, refuse_two_meanings, refuse_untyped
from meshsim.compiler.rewrite import rewrite

BASE = '''"""A base."""

from __future__ import annotations

from typing import final

Key = int
LIMIT = 3
FAR = 1 << 40
MASK: Key = 0xFFFFFFFFFFFFFFFF


class Event:
    """Open to Python."""

    def fire(self, step: int, now: float) -> None:
        """Fires."""
        raise NotImplementedError


@final
class Host(Event):
    """A host."""

    active: int
    name: str
    next: Host | None

    def __init__(self, name: str) -> None:
        self.active = 0
        self.name = name
        self.next = None

    def fire(self, step: int, now: float) -> None:
        if step == LIMIT:
            return
        self.active += 1
'''
USER = '''"""Uses it."""

from __future__ import annotations

from array import array
from math import inf, log

from base import FAR, LIMIT, MASK, Event, Host, Key


class Cluster:
    """Hosts."""

    hosts: list[Host]
    times: array[float]
    least: float

    def __init__(self, hosts: list[Host], times: array[float]) -> None:
        self.hosts = hosts
        self.times = times
        self.least = inf

    def pick(self, key: Key, share: float) -> Host:
        """One of them."""
        for host in self.hosts:
            if host.active < LIMIT:
                return host
        return self.hosts[int(share * len(self.hosts))]

    def clear(self, now: float) -> None:
        """All are idle."""
        if now > FAR:
            return
        for host in self.hosts:
            host.active = 0

    def made(self) -> Host:
        """One more."""
        return Host(f"{LIMIT}")


def cut(key: Key) -> Key:
    """64 bits."""
    return key & MASK


def halved(value: float) -> float:
    """Its logarithm, halved."""
    return log(value) / 2.0
'''


@pytest.fixture
def program(tmp_path: Path) -> Program:
    (tmp_path / "base.py").write_text(BASE)
    (tmp_path / "user.py").write_text(USER)
    return read(tmp_path, ["base", "user"])


def lines(program: Program, name: str) -> list[str]:
    return rewrite(program, program.modules[name], list(program.modules)).split("\n")


def line(program: Program, name: str, part: str) -> str:
    """The rewritten line in whose place the source has a part."""
    number = next(i for i, text in enumerate(program.modules[name].text.split("\n")) if part in text)
    return lines(program, name)[number].strip()


def test_every_line_stays_in_its_place(program: Program) -> None:
    for name, module in program.modules.items():
        before = module.text.rstrip("\n").split("\n")
        after = lines(program, name)
        for number, text in enumerate(before):
            if text.strip().startswith(("def ", "class ", '"""')) and "__init__" not in text:
                head = text.split("(")[0].split(":")[0]
                assert after[number].startswith(head), f"{name}:{number + 1}"


def test_constants_become_literals(program: Program) -> None:
    assert line(program, "user", "active < LIMIT") == "if host.active < 3:"
    assert line(program, "user", "now > FAR") == "if now > MESHSIM_FAR:"
    assert line(program, "user", "key & MASK") == "return key & MESHSIM_MASK"
    assert "#define MESHSIM_MASK 18446744073709551615ULL" in header(program, ["user"])
    assert "#define MESHSIM_FAR 1099511627776LL" in header(program, ["user"])


def test_what_a_list_holds_is_said(program: Program) -> None:
    expected = (
        "return cython.cast(Host, self.hosts[cython.cast(int64_t, share * len(self.hosts))], typecheck=True)"
    )
    assert line(program, "user", "int(share") == expected
    assert "@cython.locals(host=Host)" in header(program, ["user"])


def test_objects_are_made_by_functions(program: Program) -> None:
    assert line(program, "user", "return Host(") == 'return _new_Host(f"{LIMIT}")'
    assert line(program, "base", "self.active = 0") == "pass", "a new C object has that already"
    assert line(program, "base", "self.next = None") == "pass"
    assert line(program, "base", "self.name = name") == "self.name = name"
    assert line(program, "user", "self.least = inf") == "self.least = INFINITY"


def test_results_tell_of_exceptions(program: Program) -> None:
    base, user = (header(program, [name]) for name in ("base", "user"))
    assert "cpdef object fire(self, int64_t step, double now)" in base, "Python code may override it"
    assert line(program, "base", "            return") == "return"
    assert "cpdef int clear(self, double now) except -1" in user
    assert line(program, "user", "            return") == "return host"
    assert "cpdef uint64_t cut(uint64_t key) noexcept" in user, "it can't fail"
    assert "cpdef double halved(double value) except? -1" in user, "it divides"
    assert "cdef public double[::1] times" in user


def test_attributes_have_the_types_that_mypy_infers(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text(
        "class Load:\n    left: float\n\n"
        "    def __init__(self, name: str, sizes: list[int], *, busy: bool) -> None:\n"
        "        self.name = name\n        self.sizes = sizes\n        self.busy = busy\n"
        "        self.row = -1\n        self.due = 0.0\n        self.left = 0\n\n\n"
        "class Burst(Load):\n\n    def __init__(self, row: int) -> None:\n        self.row = row\n"
    )
    declared = header(read(tmp_path, ["base"]), ["base"])
    for attribute in ("str name", "list sizes", "bint busy", "int64_t row", "double due", "double left"):
        assert declared.count(f"    cdef public {attribute}\n") == 1, attribute


def test_an_attribute_declared_twice_is_refused(tmp_path: Path) -> None:
    twice = BASE.replace(
        "class Host(Event):", "class Named(Event):\n    name: str\n\n\n@final\nclass Host(Named):"
    )
    (tmp_path / "base.py").write_text(twice.replace("@final\nclass Named", "class Named"))
    program = read(tmp_path, ["base"])
    with pytest.raises(TypeError, match=r"Host\.name is an attribute of Named already"):
        header(program, ["base"])


def test_an_attribute_whose_type_nothing_says_is_refused(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text(BASE)
    refuse_untyped(read(tmp_path, ["base"]), ["base"])
    (tmp_path / "base.py").write_text(f"{BASE}\n    def late(self) -> None:\n        self.left = min(1, 2)\n")
    with pytest.raises(TypeError, match=r"\.left has no type: annotate it in the class"):
        refuse_untyped(read(tmp_path, ["base"]), ["base"])


def test_a_shift_that_c_would_cut_is_refused(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text(BASE.replace("self.active += 1", "self.active += 1 << step"))
    program = read(tmp_path, ["base"])
    with pytest.raises(TypeError, match="1 << step has 32 bits in C"):
        rewrite(program, program.modules["base"], ["base"])


def test_modules_come_after_those_that_they_import() -> None:
    program = read(forms.PACKAGE.parent, MODULES)
    seen: set[str] = set()
    for name, module in program.modules.items():
        for imported, (origin, _) in module.imports.items():
            fine = origin not in program.modules or origin in seen or imported in module.for_types
            assert fine, f"{name} imports {origin}"
        seen.add(name)


SELDOM = ("access", "control_plane", "rollout")
"""What acts a few times a run, or whose decisions are kept."""


def test_all_of_policies_and_mesh_is_compiled() -> None:
    there = {
        f"meshsim.{part}.{file.stem}"
        for part in ("policies", "mesh")
        for file in (forms.PACKAGE / part).glob("*.py")
        if file.stem not in ("__init__", *SELDOM)
    }
    assert there | {"meshsim.random", "meshsim.engine.heap"} == set(ENGINE)
    assert set(MODULES) == {*ENGINE, *LIVE}


def test_modules_may_know_each_others_types(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text(BASE)
    one = USER.replace("from base import", "from typing import TYPE_CHECKING\n\nfrom base import").replace(
        "\n\nclass Cluster", "\nif TYPE_CHECKING:\n    from late import Late\n\n\nclass Cluster"
    )
    (tmp_path / "user.py").write_text(
        one.replace("    least: float\n", "    least: float\n    late: Late | None\n")
    )
    (tmp_path / "late.py").write_text(
        '"""Later."""\n\nfrom __future__ import annotations\n\nfrom user import Cluster\n\n\n'
        'class Late:\n    """It."""\n\n    cluster: Cluster\n'
    )
    program = read(tmp_path, ["base", "user", "late"])
    declared = header(program, ["base", "user", "late"]).split("\n")
    assert declared.index("cdef class Late") < declared.index("    cdef public Late late")
    assert line(program, "user", "if TYPE_CHECKING") == "pass"


def test_modules_of_a_part_share_their_globals(program: Program, tmp_path: Path) -> None:
    both = header(program, ["base", "user"]).split("\n")
    assert both.index("cdef class Host(Event):") < both.index("cdef class Cluster:")
    assert line(program, "user", "from base import") == "pass"
    above = header(program, ["user"], "package.lower").split("\n")
    assert "from package.lower cimport *" in above
    refuse_two_meanings(program, ["base", "user"])
    (tmp_path / "other.py").write_text("LIMIT = 4\n")
    with pytest.raises(TypeError, match="other: LIMIT is a name in base already"):
        refuse_two_meanings(read(tmp_path, ["base", "user", "other"]), ["base", "user", "other"])


def test_methods_that_nobody_overrides_are_called_directly(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text(
        BASE.replace("@final\n", "")
        + "\n    def idle(self) -> bool:\n        return self.active == 0\n"
        + "\n    def free(self) -> bool:\n        other = self.next\n"
        + "        return self.idle() and (self.next is None or self.next.idle()) and other.idle()\n"
    )
    program = read(tmp_path, ["base"])
    expected = "return Host.idle(self) and (self.next is None or self.next.idle()) and Host.idle(other)"
    assert line(program, "base", "return self.idle()") == expected, "what may be None is asked first"


def test_python_code_overrides_open_methods_alone() -> None:
    program = read(forms.PACKAGE.parent, MODULES)
    overrides = 0
    for file in [*forms.PACKAGE.rglob("*.py"), *Path(__file__).parents[2].rglob("*.py")]:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        imports = {
            alias.asname or alias.name: (node.module or "", alias.name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        compiled = file.is_relative_to(forms.PACKAGE) and (
            ".".join(file.relative_to(forms.PACKAGE.parent).with_suffix("").parts) in program.modules
        )
        for node in ast.walk(tree):
            if compiled or not isinstance(node, ast.ClassDef) or not node.bases:
                continue
            origin, name = imports.get(ast.unparse(node.bases[0]), ("", ""))
            above = program.class_of(program.modules[origin], name) if origin in program.modules else None
            for item in node.body if above is not None else ():
                own = isinstance(item, ast.FunctionDef) and not item.name.startswith("__")
                if own and above is not None and program.method(above, item.name) is not None:
                    overrides += 1
                    assert is_open(program, above, item.name), f"{file}: {node.name}.{item.name}"
    assert overrides > 20


def test_what_c_has_nothing_like_stays_pythons(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text(BASE)
    (tmp_path / "user.py").write_text(
        '"""Uses it."""\n\nfrom __future__ import annotations\n\nfrom base import Host\n\n\n'
        'class Broken(Exception):\n    """An error."""\n\n    def __init__(self, why: str) -> None:\n'
        "        self.why = why\n\n\n"
        'def names(hosts: list[Host]) -> str:\n    """All."""\n'
        '    return ",".join(host.name for host in hosts)\n'
    )
    program = read(tmp_path, ["base", "user"])
    assert "cpdef" not in header(program, ["user"])
    assert line(program, "user", "class Broken") == "class Broken(Exception):"
    assert line(program, "user", "def __init__") == "def __init__(self, why: str) -> None:"
    assert line(program, "user", "def names") == "def names(hosts: list[Host]) -> str:"


def test_a_number_that_may_be_none_is_none_in_c(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text(
        '"""A base."""\n\nfrom __future__ import annotations\n\n\n'
        'def length(text: str) -> int | None:\n    """Its length."""\n    return len(text) or None\n\n\n'
        'def told(text: str) -> str:\n    """As text."""\n    found = length(text)\n    return str(found)\n'
    )
    program = read(tmp_path, ["base"])
    declared = header(program, ["base"])
    assert "cpdef object length(str text)" in declared
    assert "found" not in declared
