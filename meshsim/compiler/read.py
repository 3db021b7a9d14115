"""What a module's annotations say: its constants, functions and classes, with the types that C needs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard

Arguments = list[tuple[str, ast.expr | None]]
Constant = int | float


@dataclass(frozen=True, slots=True)
class Signature:
    """A function or method: its arguments (`self` excluded) and what it returns, as annotations."""

    node: ast.FunctionDef
    arguments: Arguments
    returns: ast.expr | None

    @property
    def plain(self) -> bool:
        """Whether it takes positional arguments alone, all of them required."""
        arguments = self.node.args
        return not (arguments.defaults or arguments.kwonlyargs or arguments.vararg or arguments.kwarg)


@dataclass(slots=True)
class Class:
    """A class: its base by name, whether it is final, and the annotations of its attributes and methods."""

    name: str
    module: str
    base: str | None
    final: bool
    node: ast.ClassDef
    attributes: dict[str, ast.expr] = field(default_factory=dict)
    methods: dict[str, Signature] = field(default_factory=dict)


@dataclass(slots=True)
class Module:
    """One source: what it defines, and what it imports by name, as (module, name there).

    Attributes:
        for_types: names that are imported for annotations alone, under ``TYPE_CHECKING``: from a module that
            may come later, and imports this one.
        aliases: names for types, such as ``Headers = list[tuple[bytes, bytes]]``.
    """

    name: str
    text: str
    tree: ast.Module
    constants: dict[str, Constant] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    functions: dict[str, Signature] = field(default_factory=dict)
    classes: dict[str, Class] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)
    for_types: set[str] = field(default_factory=set)
    aliases: dict[str, ast.expr] = field(default_factory=dict)


@dataclass(slots=True)
class Program:
    """All modules that are compiled together, those first on which others stand."""

    modules: dict[str, Module]

    def home(self, module: Module, name: str) -> tuple[Module, str] | None:
        """Where a global name of a module is defined, if that is in a compiled module."""
        if name in module.classes or name in module.functions or name in module.constants:
            return module, name
        if name in module.imports:
            origin, there = module.imports[name]
            if origin in self.modules:
                return self.home(self.modules[origin], there)
        return None

    def class_of(self, module: Module, name: str) -> Class | None:
        """The compiled class that a global name of a module stands for."""
        found = self.home(module, name)
        return found[0].classes.get(found[1]) if found else None

    def function_of(self, module: Module, name: str) -> Signature | None:
        """The compiled function that a global name of a module stands for."""
        found = self.home(module, name)
        return found[0].functions.get(found[1]) if found else None

    def constant_of(self, module: Module, name: str) -> tuple[Module, str] | None:
        """The home of a constant that a global name of a module stands for."""
        found = self.home(module, name)
        return found if found and found[1] in found[0].constants else None

    def classes(self) -> Iterator[Class]:
        """All compiled classes."""
        for module in self.modules.values():
            yield from module.classes.values()

    def base_of(self, cls: Class) -> Class | None:
        """The class that a class is derived from."""
        return self.class_of(self.modules[cls.module], cls.base) if cls.base else None

    def lineage(self, cls: Class) -> list[Class]:
        """A class and those above it, the nearest first."""
        above: list[Class] = []
        one: Class | None = cls
        while one is not None:
            above.append(one)
            one = self.base_of(one)
        return above

    def attribute(self, cls: Class, name: str) -> tuple[Class, ast.expr] | None:
        """The annotation of an attribute, and the class that has it."""
        for one in self.lineage(cls):
            if name in one.attributes:
                return one, one.attributes[name]
        return None

    def method(self, cls: Class, name: str) -> tuple[Class, Signature] | None:
        """The nearest definition of a method, and the class that has it."""
        for one in self.lineage(cls):
            if name in one.methods:
                return one, one.methods[name]
        return None


def read(root: Path, names: list[str]) -> Program:
    """Reads the sources of modules.

    Args:
        root: the folder that holds the package ``meshsim``.
        names: of the modules, such as ``meshsim.mesh.call``, in the order of their imports.
    """
    program = Program({})
    for name in names:
        text = (root / (name.replace(".", "/") + ".py")).read_text(encoding="utf-8")
        program.modules[name] = Module(name, text, ast.parse(text))
        _read(program, program.modules[name])
    return program


def refuse_two_meanings(program: Program, part: list[str]) -> None:
    """Refuses a global name that means two things in a part, whose modules share their globals.

    Raises:
        TypeError: there is one.
    """
    meanings: dict[str, tuple[str, str]] = {}
    for name in part:
        module = program.modules[name]
        own = {target: (name, target) for node in module.tree.body for target in _defined(node)}
        for there, meaning in {**module.imports, **own}.items():
            if meanings.setdefault(there, meaning) != meaning:
                raise TypeError(f"{name}: {there} is a name in {meanings[there][0]} already")


def refuse_untyped(program: Program, part: list[str]) -> None:
    """Refuses an attribute whose type nothing says: C would have no room for it.

    Raises:
        TypeError: there is one.
    """
    for cls in (cls for cls in program.classes() if cls.module in part):
        for statement in (node for node in ast.walk(cls.node) if isinstance(node, ast.Assign)):
            name = own_attribute(statement)
            if name is not None and program.attribute(cls, name) is None:
                raise TypeError(f"{cls.module}: {cls.name}.{name} has no type: annotate it in the class")


def _defined(node: ast.stmt) -> list[str]:
    """The global names that a statement of a module defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _read(program: Program, module: Module) -> None:
    for node in module.tree.body:
        if isinstance(node, ast.ImportFrom):
            _import(module, node)
        elif is_for_types(node):
            for statement in node.body:
                if isinstance(statement, ast.ImportFrom):
                    module.for_types |= _import(module, statement)
        elif isinstance(node, ast.FunctionDef) and not has_closure(node):
            module.functions[node.name] = _signature(node, method=False)
        elif isinstance(node, ast.ClassDef):
            cls = _class(node, module.name)
            if cls is not None and (cls.base is None or program.class_of(module, cls.base) is not None):
                module.classes[node.name] = cls
                _infer_attributes(program, cls)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            _constant(module, node)


def has_closure(node: ast.FunctionDef) -> bool:
    """Whether a function has others inside, which one of C can't have: it stays a function of Python's."""
    inside = (ast.Lambda, ast.GeneratorExp, ast.Yield, ast.FunctionDef)
    return any(isinstance(inner, inside) for inner in ast.walk(node) if inner is not node)


def _import(module: Module, node: ast.ImportFrom) -> set[str]:
    """Notes what a statement imports; returns the names."""
    names = {alias.asname or alias.name: alias.name for alias in node.names}
    if node.module:
        module.imports.update({name: (node.module, there) for name, there in names.items()})
    return set(names)


def is_for_types(node: ast.stmt) -> TypeGuard[ast.If]:
    """Whether a statement of a module is only for who reads annotations."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _constant(module: Module, node: ast.Assign | ast.AnnAssign) -> None:
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    value = None if node.value is None else evaluate(node.value, module.constants)
    if (
        isinstance(target, ast.Name)
        and isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Subscript)
    ):
        module.aliases[target.id] = node.value
    if isinstance(target, ast.Name) and value is not None:
        module.constants[target.id] = value
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "Key":
            module.keys.add(target.id)


def evaluate(node: ast.expr, known: dict[str, Constant]) -> Constant | None:
    """The number that an expression of literals and known names stands for; None for anything else."""
    for inner in ast.walk(node):
        fine = isinstance(inner, ast.operator | ast.unaryop | ast.BinOp | ast.UnaryOp | ast.Load) or (
            (isinstance(inner, ast.Constant) and type(inner.value) in (int, float))
            or (isinstance(inner, ast.Name) and inner.id in known)
        )
        if not fine:
            return None
    value = eval(compile(ast.Expression(node), "constant", "eval"), {}, dict(known))
    return value if isinstance(value, int | float) else None


def _signature(node: ast.FunctionDef, *, method: bool) -> Signature:
    arguments: Arguments = [(argument.arg, argument.annotation) for argument in node.args.args]
    return Signature(node, arguments[1:] if method else arguments, node.returns)


def _class(node: ast.ClassDef, module: str) -> Class | None:
    """What a class says; None for one that C has nothing like, and which Python makes in either form.

    That is one with several bases, or with a decorator other than `final`; the caller sees to those whose
    base is not compiled: exceptions, protocols, named tuples.
    """
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    if len(node.bases) > 1 or node.keywords or set(decorators) - {"final"}:
        return None
    base = ast.unparse(node.bases[0]) if node.bases else None
    cls = Class(node.name, module, base, "final" in decorators, node)
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            cls.attributes[item.target.id] = item.annotation
        elif isinstance(item, ast.FunctionDef):
            cls.methods[item.name] = _signature(item, method=True)
    return cls


def _infer_attributes(program: Program, cls: Class) -> None:
    """Types each attribute that is not annotated by the argument or literal that `__init__` sets it to.

    That is the type which mypy infers.
    """
    if "__init__" not in cls.methods:
        return
    node = cls.methods["__init__"].node
    arguments = {argument.arg: argument.annotation for argument in (*node.args.args, *node.args.kwonlyargs)}
    for statement in node.body:
        if not isinstance(statement, ast.Assign):
            continue
        name = own_attribute(statement)
        if name is None or program.attribute(cls, name) is not None:
            continue
        value = statement.value.operand if isinstance(statement.value, ast.UnaryOp) else statement.value
        if isinstance(value, ast.Constant) and value.value is not None:
            cls.attributes[name] = ast.Name(type(value.value).__name__)
        elif isinstance(value, ast.Name) and (annotation := arguments.get(value.id)) is not None:
            cls.attributes[name] = annotation


def own_attribute(statement: ast.Assign) -> str | None:
    """The name of the attribute of `self` that a statement sets."""
    target = statement.targets[0]
    own = isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self"
    return target.attr if own and isinstance(target, ast.Attribute) and len(statement.targets) == 1 else None


def is_property(signature: Signature) -> bool:
    """Whether a method is a property."""
    return any(ast.unparse(decorator) == "property" for decorator in signature.node.decorator_list)
