"""Makes the text that Cython compiles: the source, line for line, with the few changes that C asks for.

- Names of constants become literals: a step of a state machine is then a number in a C switch.
- `__init__` becomes a C method, and ``Call(...)`` a C function that makes the object and calls it: an object
  costs what its memory costs, not a call through Python's argument tuples.
- The memory of objects that requests make is kept (see `pool`); a few classes need no checks of bounds.
- In `__init__`, what sets an attribute to 0 or None goes: a new C object has that already.
- ``super().method(...)``, and ``one.method(...)`` where no class overrides it, name the class that has it,
  which C calls directly: ``Visit.arrive(one, ...)``.
- Imports of compiled modules go: the modules of a part share their globals, and declarations name the others.

Every line stays where it is, so tracebacks show files and lines of the sources.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from meshsim.compiler.header import (
    C_MATH,
    C_NAMES,
    factory,
    has_factory,
    in_locals,
    initializer,
    is_declared,
    is_final,
    is_open,
    is_wide,
    returns_nothing,
    typed_locals,
)
from meshsim.compiler.modules import PASSING, SELF_INDEXED
from meshsim.compiler.read import Class, Module, Program, Signature, evaluate, is_for_types, own_attribute
from meshsim.compiler.types import SCALARS, Locals, without_none

Edit = tuple[int, int, int, int, str]
"""First line and byte, last line and byte (lines from 1), and what to write there."""


def rewrite(program: Program, module: Module, part: list[str]) -> str:
    """The text of a module as Cython compiles it, together with the others of its part."""
    writer = _Writer(program, module, part)
    for node in module.tree.body:
        writer.top(node)
    return writer.text()


def _calls_itself(statement: ast.stmt) -> bool:
    """Whether a statement of a constructor calls a method of its own object."""
    return any(
        isinstance(node, ast.Call) and ast.unparse(node.func).startswith("self.")
        for node in ast.walk(statement)
    )


class _Inside:
    """The function whose text is being edited.

    Attributes:
        variables: their types.
        local: names that are not global.
        returns_zero: whether it has no result, and C returns 0 for it.
    """

    def __init__(self, program: Program, module: Module, cls: Class | None, signature: Signature) -> None:
        node = signature.node
        self.cls = cls
        self.variables = Locals(program, module, cls)
        self.variables.learn(signature)
        names = [name for name in ast.walk(node) if isinstance(name, ast.Name)]
        self.local = {argument.arg for argument in node.args.args}
        self.local |= {name.id for name in names if isinstance(name.ctx, ast.Store)}
        self.returns_zero = returns_nothing(signature) and not is_open(program, cls, node.name)


@dataclass
class _Writer:
    """Collects edits of one module."""

    program: Program
    module: Module
    part: list[str]
    edits: list[Edit] = field(default_factory=list)
    tail: list[str] = field(default_factory=list)

    def replace(self, node: ast.stmt | ast.expr, text: str) -> None:
        """Writes something else in a node's place."""
        last, end = node.end_lineno or node.lineno, node.end_col_offset or 0
        self.edits.append((node.lineno, node.col_offset, last, end, text))

    def text(self) -> str:
        """The edited text."""
        lines = [line.encode() for line in self.module.text.split("\n")]
        for first, begin, last, end, text in sorted(self.edits, reverse=True):
            gone = last - first
            lines[first - 1] = lines[first - 1][:begin] + text.encode() + lines[last - 1][end:]
            for line in range(first, first + gone):
                lines[line] = b""
        return "\n".join([line.decode() for line in lines] + self.tail) + "\n"

    # ---- statements -------------------------------------------------------------------------------

    def top(self, node: ast.stmt) -> None:
        """Edits one statement of the module."""
        if isinstance(node, ast.ImportFrom):
            self._import(node)
        elif isinstance(node, ast.FunctionDef) and node.name in self.module.functions:
            self._function(node, None)
        elif is_for_types(node):
            self.replace(node, "pass")
        elif isinstance(node, ast.ClassDef) and node.name in self.module.classes:
            self._class(self.module.classes[node.name])

    def _import(self, node: ast.ImportFrom) -> None:
        assert node.module is not None
        kept = [alias for alias in node.names if self._stays_python(node.module, alias.name)]
        if len(kept) == len(node.names):
            return
        names = ", ".join(f"{alias.name} as {alias.asname}" if alias.asname else alias.name for alias in kept)
        self.replace(node, f"from {node.module} import {names}" if kept else "pass")

    def _stays_python(self, origin: str, name: str) -> bool:
        """Whether an import is Python's own business: of something that is not compiled, or a constant's."""
        if origin in self.part:
            return False
        if origin == "math":
            return name not in C_MATH and name not in C_NAMES
        if origin == "typing":
            return name != "final"
        other = self.program.modules.get(origin)
        return other is None or not (name in other.classes or name in other.functions)

    def _class(self, cls: Class) -> None:
        for decorator in cls.node.decorator_list:
            line = decorator.lineno
            instead = "@cython.boundscheck(False)" if cls.name in SELF_INDEXED else ""
            self.edits.append((line, 0, line, decorator.end_col_offset or 0, instead))
        for item in cls.node.body:
            if isinstance(item, ast.AnnAssign):
                self.replace(item, "pass")
            elif isinstance(item, ast.FunctionDef):
                self._function(item, cls)
                if item.name == "__init__":
                    if has_factory(cls):
                        self._initializer(cls, item)
                elif not is_declared(self.program, cls, item.name):
                    self._locals(cls, item)

    def _initializer(self, cls: Class, node: ast.FunctionDef) -> None:
        """Renames `__init__`, puts a Python one on the blank line above, and adds the factory at the end."""
        names = [argument.arg for argument in node.args.args[1:]]
        given = ", ".join(names)
        self._above(node, f"def __init__(self, {given}): self.{initializer(cls.name)}({given})")
        place = node.col_offset + len("def ")
        end = place + len("__init__")
        self.edits.append((node.lineno, place, node.lineno, end, initializer(cls.name)))
        self.tail += [
            f"def {factory(cls.name)}({given}):",
            f"    made = {cls.name}.__new__({cls.name})",
            f"    made.{initializer(cls.name)}({given})",
            "    return made",
        ]
        if cls.name in PASSING:
            self.tail.append(f"meshsim_pool({cls.name})")

    def _above(self, node: ast.FunctionDef, text: str) -> None:
        """Writes on the blank line above a method."""
        line = node.lineno - 1
        assert not self.module.text.split("\n")[line - 1].strip(), f"{self.module.name}:{line} must be blank"
        self.edits.append((line, 0, line, 0, " " * node.col_offset + text))

    def _locals(self, cls: Class, node: ast.FunctionDef) -> None:
        """Types the local variables of a method that has no declaration of its own."""
        for decorator in typed_locals(self.program, self.module, cls, cls.methods[node.name]):
            self._above(node, decorator)

    def _function(self, node: ast.FunctionDef, cls: Class | None) -> None:
        for argument in node.args.args:
            if argument.annotation is not None:
                self._drop(argument.annotation, argument)
        if node.returns is not None:
            self._drop_returns(node)
        signature = cls.methods[node.name] if cls else self.module.functions[node.name]
        inside = _Inside(self.program, self.module, cls, signature)
        given = self._set_above(cls) if cls is not None and node.name == "__init__" else None
        for statement in node.body:
            if given is not None and isinstance(statement, ast.Assign):
                name = own_attribute(statement)
                if name is not None and name not in given and self._is_made_so(cls, name, statement.value):
                    self.replace(statement, "pass")
                    continue
                given.add(name or "")
            if given is not None and _calls_itself(statement):
                given = None  # the method may have set anything
            self._visit(statement, inside)

    def _is_made_so(self, cls: Class | None, name: str, value: ast.expr) -> bool:
        """Whether C makes an attribute with this value already; one of ``int | None`` is made None, not 0."""
        found = self.program.attribute(cls, name) if cls is not None else None
        none = isinstance(value, ast.Constant) and value.value is None
        scalar = found is not None and ast.unparse(found[1]) in SCALARS
        return found is not None and none != scalar and self._is_default(value)

    def _set_above(self, cls: Class) -> set[str]:
        """The attributes that the constructors of a class's bases set to more than 0 or None."""
        found: set[str] = set()
        for above in self.program.lineage(cls)[1:]:
            signature = above.methods.get("__init__")
            for node in ast.walk(signature.node) if signature else ():
                if isinstance(node, ast.Assign) and not self._is_default(node.value):
                    found.add(own_attribute(node) or "")
        return found

    def _sets_nothing(self, cls: Class) -> bool:
        """Whether a class's constructor leaves its object as C makes it."""
        return all(
            isinstance(statement, ast.Assign)
            and own_attribute(statement) is not None
            and self._is_default(statement.value)
            for statement in cls.methods["__init__"].node.body
        )

    def _is_default(self, value: ast.expr) -> bool:
        """Whether a value is what an attribute of a new C object is."""
        if isinstance(value, ast.Name):
            home = self.program.constant_of(self.module, value.id)
            return home is not None and home[0].constants[home[1]] == 0
        return isinstance(value, ast.Constant) and (value.value is None or value.value == 0)

    def _drop(self, annotation: ast.expr, argument: ast.arg) -> None:
        """Takes an argument's annotation away: its C type is in the declarations."""
        last, end = annotation.end_lineno or 0, annotation.end_col_offset or 0
        begin = argument.col_offset + len(argument.arg.encode())
        self.edits.append((argument.lineno, begin, last, end, ""))

    def _drop_returns(self, node: ast.FunctionDef) -> None:
        assert node.returns is not None
        line = self.module.text.split("\n")[node.returns.lineno - 1].encode()
        arrow = line.rindex(b"->", 0, node.returns.col_offset)
        last, end = node.returns.end_lineno or 0, node.returns.end_col_offset or 0
        self.edits.append((node.returns.lineno, arrow, last, end, ""))

    # ---- expressions ------------------------------------------------------------------------------

    def _visit(self, node: ast.AST, inside: _Inside) -> None:
        if isinstance(node, ast.JoinedStr):
            return  # Python 3.11 does not say where the parts of an f-string are
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            self._local(node, inside)
            return
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.LShift):
            self._shift(node)
        if isinstance(node, ast.Call):
            self._call(node, inside)
            return
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in inside.local:
            self._name(node)
            return
        if isinstance(node, ast.Return) and node.value is None and inside.returns_zero:
            self.replace(node, "return 0")
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            self._item(node, inside)
        for child in ast.iter_child_nodes(node):
            self._visit(child, inside)

    def _shift(self, node: ast.BinOp) -> None:
        """Refuses to shift a literal by a variable: C would do it in 32 bits."""
        known = self.module.constants
        if evaluate(node.left, known) is not None and evaluate(node.right, known) is None:
            raise TypeError(
                f"{self.module.name}:{node.lineno}: {ast.unparse(node)} has 32 bits in C; use ldexp"
            )

    def _item(self, node: ast.Subscript, inside: _Inside) -> None:
        text = inside.variables.item(node)
        if text is not None:
            self._cast(node, text)

    def _cast(self, node: ast.expr, text: str) -> None:
        private = isinstance(node, ast.Subscript) and ast.unparse(node.value).startswith("self._")
        checked = ", typecheck=True" if text not in SCALARS.values() and not private else ""
        self.edits.append(
            (node.lineno, node.col_offset, node.lineno, node.col_offset, f"cython.cast({in_locals(text)}, ")
        )
        last, end = node.end_lineno or 0, node.end_col_offset or 0
        self.edits.append((last, end, last, end, f"{checked})"))

    def _local(self, node: ast.AnnAssign, inside: _Inside) -> None:
        """A local variable's annotation goes: its C type is in the declarations."""
        if node.value is None:
            self.replace(node, "pass")
            return
        end = node.target.end_col_offset or 0
        last = node.annotation.end_col_offset or 0
        self.edits.append((node.lineno, end, node.annotation.end_lineno or 0, last, ""))
        self._visit(node.value, inside)

    def _call(self, node: ast.Call, inside: _Inside) -> None:
        for child in [*node.args, *(keyword.value for keyword in node.keywords)]:
            self._visit(child, inside)
        function = node.func
        if isinstance(function, ast.Name) and function.id == "int" and len(node.args) == 1:
            value = inside.variables.type_of(node.args[0])
            if value is not None and ast.unparse(value.annotation) == "float":
                self.edits.append(
                    (
                        function.lineno,
                        function.col_offset,
                        function.lineno,
                        (function.end_col_offset or 0) + 1,
                        "cython.cast(int64_t, ",
                    )
                )
        elif isinstance(function, ast.Name):
            made = self.program.class_of(self.module, function.id)
            if (
                made is not None
                and has_factory(made)
                and not node.keywords
                and function.id not in inside.local
            ):
                self.replace(function, factory(made.name))
        elif (
            isinstance(function, ast.Attribute)
            and ast.unparse(function.value) == "super()"
            and inside.cls is not None
        ):
            self._super(node, function, inside.cls)
        else:
            self._visit(function, inside)
            if isinstance(function, ast.Attribute) and not node.keywords:
                self._direct(node, function, inside.variables)

    def _direct(self, node: ast.Call, function: ast.Attribute, variables: Locals) -> None:
        """Names the class of a method that nobody overrides, unless Cython sees that by itself."""
        cls = variables.class_of(function.value)
        found = self.program.method(cls, function.attr) if cls is not None else None
        if cls is None or found is None or not is_final(self.program, cls, function.attr):
            return
        home = found[0]
        typed = variables.type_of(function.value)
        optional = typed is not None and typed.annotation is not without_none(typed.annotation)
        if optional or home.final or not is_declared(self.program, home, function.attr):
            return
        one = function.value
        self.edits.append(
            (one.lineno, one.col_offset, one.lineno, one.col_offset, f"{home.name}.{function.attr}(")
        )
        last, end = one.end_lineno or 0, one.end_col_offset or 0
        line, parenthesis = function.end_lineno or 0, (function.end_col_offset or 0) + 1
        self.edits.append((last, end, line, parenthesis, ", " if node.args else ""))

    def _super(self, node: ast.Call, function: ast.Attribute, cls: Class) -> None:
        base = self.program.base_of(cls)
        found = self.program.method(base, function.attr) if base else None
        assert found is not None, f"{cls.name}: no {function.attr} above"
        plain_init = function.attr == "__init__" and found[1].plain
        if plain_init and self._sets_nothing(found[0]):
            self.replace(node, "pass")
            return
        name = initializer(found[0].name) if plain_init else function.attr
        self.replace(function, f"{found[0].name}.{name}")
        self._self_argument(node, function)

    def _self_argument(self, node: ast.Call, function: ast.Attribute) -> None:
        line, end = function.end_lineno or 0, (function.end_col_offset or 0) + 1  # behind the parenthesis
        self.edits.append((line, end, line, end, "self, " if node.args else "self"))

    def _name(self, node: ast.Name) -> None:
        if (
            node.id in self.module.imports
            and self.module.imports[node.id][0] == "math"
            and node.id in C_NAMES
        ):
            self.replace(node, C_NAMES[node.id])
            return
        found = self.program.constant_of(self.module, node.id)
        if found is None:
            return
        home, there = found
        value = home.constants[there]
        literal = f"MESHSIM_{there}" if is_wide(home, there) else repr(value)
        self.replace(node, f"({literal})" if value < 0 else literal)
