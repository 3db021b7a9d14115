"""From annotations to C types, and the types of local variables, which have no annotations."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from meshsim.compiler.read import Class, Module, Program, Signature, is_property

SCALARS = {"int": "int64_t", "Key": "uint64_t", "float": "double", "bool": "bint"}
COLUMNS = {"array[float]": "double[::1]", "array[int]": "int64_t[::1]", "array[Key]": "uint64_t[::1]"}
BUILTIN = {"list": "list", "dict": "dict", "str": "str", "bytes": "bytes"}


@dataclass(frozen=True, slots=True)
class Typed:
    """A type as Python writes it, read in a module (where its names mean something)."""

    annotation: ast.expr
    module: Module


def without_none(annotation: ast.expr) -> ast.expr:
    """`X` of ``X | None``: objects may be None in C as in Python, and are checked where they are used."""
    union = isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr)
    if union and isinstance(annotation, ast.BinOp) and ast.unparse(annotation.right) == "None":
        return annotation.left
    return annotation


def c_type(program: Program, module: Module, annotation: ast.expr | None) -> str:
    """The C type of an annotation; ``object`` for what C knows nothing of."""
    if annotation is None:
        return "object"
    bare = without_none(annotation)
    text = ast.unparse(bare)
    if text in SCALARS:
        return SCALARS[text] if bare is annotation else "object"
    if text in COLUMNS:
        return COLUMNS[text]
    if program.class_of(module, text) is not None:
        return text
    alias = aliased(program, module, text)
    if alias is not None:
        return c_type(program, alias.module, alias.annotation)
    outer = ast.unparse(bare.value) if isinstance(bare, ast.Subscript) else text
    return BUILTIN.get(outer, "object")


def aliased(program: Program, module: Module, name: str) -> Typed | None:
    """The type that a name is another name for."""
    while name not in module.aliases:
        origin, name = module.imports.get(name, ("", ""))
        if origin not in program.modules:
            return None
        module = program.modules[origin]
    return Typed(module.aliases[name], module)


def elements(typed: Typed) -> Typed | None:
    """What iterating over a typed list, or the keys of a typed dict, gives."""
    annotation = without_none(typed.annotation)
    if not isinstance(annotation, ast.Subscript):
        return None
    outer = ast.unparse(annotation.value)
    inner = annotation.slice
    if outer in ("list", "array", "Sequence", "deque"):
        return Typed(inner, typed.module)
    if outer == "dict" and isinstance(inner, ast.Tuple):
        return Typed(inner.elts[0], typed.module)
    return None


def items(typed: Typed) -> Typed | None:
    """What subscripting a typed list or dict gives."""
    annotation = without_none(typed.annotation)
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "dict":
        inner = annotation.slice
        return Typed(inner.elts[1], typed.module) if isinstance(inner, ast.Tuple) else None
    return elements(typed)


@dataclass
class Locals:
    """Finds the types of a function's local variables.

    Attributes:
        known: arguments and variables so far, by name.
        unclear: variables that are assigned different types, which are left to Cython.
    """

    program: Program
    module: Module
    owner: Class | None
    known: dict[str, Typed] = field(default_factory=dict)
    arguments: set[str] = field(default_factory=set)
    unclear: set[str] = field(default_factory=set)

    def learn(self, signature: Signature) -> None:
        """Finds out what it can about a function's variables."""
        for name, annotation in signature.arguments:
            self.arguments.add(name)
            if annotation is not None:
                self.known[name] = Typed(annotation, self.module)
        for _ in range(3):  # a variable may be typed by one that is assigned further down, in a loop
            for node in ast.walk(signature.node):
                self._assigned(node)

    def of(self, signature: Signature) -> dict[str, str]:
        """C types of local variables, by name."""
        self.learn(signature)
        types = {
            name: c_type(self.program, typed.module, typed.annotation)
            for name, typed in self.known.items()
            if name not in self.arguments and name not in self.unclear
        }
        return {name: text for name, text in types.items() if text != "object"}

    def item(self, node: ast.Subscript) -> str | None:
        """The C type of what a list or dict holds, of which C itself only knows that it holds objects."""
        over = self.type_of(node.value)
        if over is None or isinstance(node.slice, ast.Slice) or not isinstance(node.ctx, ast.Load):
            return None
        item = items(over)
        if item is None or ast.unparse(over.annotation) in COLUMNS:
            return None
        text = c_type(self.program, item.module, item.annotation)
        return text if text != "object" else None

    def _assigned(self, node: ast.AST) -> None:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            self.known[node.target.id] = Typed(node.annotation, self.module)
        elif isinstance(node, ast.For) and isinstance(node.target, ast.Name):
            over = self.type_of(node.iter)
            if over is not None:
                self._note(node.target.id, elements(over))
            elif isinstance(node.iter, ast.Call) and ast.unparse(node.iter.func) == "range":
                self._note(node.target.id, self._plain("int"))
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            self._note(node.targets[0].id, self.type_of(node.value))
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            value = self.type_of(node.value)
            if value is not None and ast.unparse(value.annotation) == "float":
                self._note(node.target.id, value)

    def _note(self, name: str, typed: Typed | None) -> None:
        if typed is None or name in self.arguments:
            return
        bare = without_none(typed.annotation)
        if ast.unparse(bare) not in SCALARS:  # a number that may be None is not a number in C
            typed = Typed(bare, typed.module)
        before = self.known.get(name)
        if before is not None and ast.unparse(before.annotation) != ast.unparse(typed.annotation):
            self.unclear.add(name)
        self.known[name] = typed

    def _plain(self, name: str) -> Typed:
        return Typed(ast.Name(name), self.module)

    # ---- expressions ------------------------------------------------------------------------------

    def type_of(self, node: ast.expr) -> Typed | None:
        """The type of an expression, where it is known."""
        if isinstance(node, ast.Constant):
            kind = type(node.value).__name__
            return self._plain(kind) if kind in ("int", "float", "bool") else None
        if isinstance(node, ast.Name):
            return self._of_name(node.id)
        if isinstance(node, ast.Attribute):
            return self._of_attribute(node)
        if isinstance(node, ast.Subscript):
            return self._of_subscript(node)
        if isinstance(node, ast.Call):
            return self._of_call(node)
        if isinstance(node, ast.BinOp):
            return self._of_operation(node)
        if isinstance(node, ast.Compare) or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)):
            return self._plain("bool")
        if isinstance(node, ast.UnaryOp):
            return self.type_of(node.operand)
        if isinstance(node, ast.BoolOp | ast.IfExp):
            values = node.values if isinstance(node, ast.BoolOp) else [node.body, node.orelse]
            return self._common([self.type_of(value) for value in values])
        return None

    def _common(self, types: list[Typed | None]) -> Typed | None:
        """The one type that all have."""
        first = types[0]
        same = {None if typed is None else ast.unparse(typed.annotation) for typed in types}
        return first if len(same) == 1 else None

    def _of_name(self, name: str) -> Typed | None:
        if name == "self" and self.owner is not None:
            return self._plain(self.owner.name)
        if name in self.known:
            return self.known[name]
        found = self.program.constant_of(self.module, name)
        if found is None:
            return None
        home, there = found
        return self._plain("Key" if there in home.keys else type(home.constants[there]).__name__)

    def class_of(self, node: ast.expr) -> Class | None:
        """The compiled class of an expression, where it is known."""
        typed = self.type_of(node)
        if typed is None:
            return None
        return self.program.class_of(typed.module, ast.unparse(without_none(typed.annotation)))

    def _of_attribute(self, node: ast.Attribute) -> Typed | None:
        cls = self.class_of(node.value)
        found = self.program.attribute(cls, node.attr) if cls else None
        if found is not None:
            return Typed(found[1], self.program.modules[found[0].module])
        property_ = self.program.method(cls, node.attr) if cls else None
        if property_ is not None and is_property(property_[1]) and property_[1].returns is not None:
            return Typed(property_[1].returns, self.program.modules[property_[0].module])
        return None

    def _of_subscript(self, node: ast.Subscript) -> Typed | None:
        over = self.type_of(node.value)
        if over is None:
            return None
        return over if isinstance(node.slice, ast.Slice) else items(over)

    def _of_call(self, node: ast.Call) -> Typed | None:
        if isinstance(node.func, ast.Attribute):
            cls = self.class_of(node.func.value)
            found = self.program.method(cls, node.func.attr) if cls else None
            if found is None or found[1].returns is None:
                return None
            return Typed(found[1].returns, self.program.modules[found[0].module])
        name = ast.unparse(node.func)
        if name in ("int", "float", "bool"):
            return self._plain(name)
        if name == "len":
            return self._plain("int")
        if self.program.class_of(self.module, name) is not None:
            return self._plain(name)
        home = self.program.home(self.module, name)
        function = self.program.function_of(self.module, name)
        if home is None or function is None or function.returns is None:
            return None
        return Typed(function.returns, home[0])

    def _of_operation(self, node: ast.BinOp) -> Typed | None:
        left, right = self.type_of(node.left), self.type_of(node.right)
        if left is None or right is None:
            return None
        names = ast.unparse(left.annotation), ast.unparse(right.annotation)
        if isinstance(node.op, ast.Div) or "float" in names:
            return self._plain("float") if set(names) <= {"int", "float", "bool", "Key"} else None
        if set(names) == {"int"}:
            return self._plain("int")
        return left if names[0] == "Key" == names[1] else None
