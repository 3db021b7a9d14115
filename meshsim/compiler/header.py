"""Writes the declarations of a part for Cython (.pxd): C types for what the annotations say."""

from __future__ import annotations

import ast
import re

from meshsim.compiler.modules import OPEN, OPEN_METHODS, PASSING
from meshsim.compiler.pool import POOL
from meshsim.compiler.read import Class, Module, Program, Signature, is_property
from meshsim.compiler.types import Locals, c_type

C_MATH = {"exp", "expm1", "log", "log1p", "log2", "pow", "sqrt", "fabs", "floor", "ceil", "ldexp"}
"""Functions of `math` that are the C library's own, so that both forms compute the same bits."""
C_NAMES = {"inf": "INFINITY", "nan": "NAN"}

ARITHMETIC: tuple[type[ast.AST], ...] = (
    ast.BinOp, ast.UnaryOp, ast.Name, ast.Constant, ast.Call, ast.Return, ast.Load, ast.Assign, ast.Expr,
    ast.operator, ast.unaryop, ast.Store, ast.Pass,
)  # fmt: skip


def factory(name: str) -> str:
    """The C function that makes an object of a class."""
    return f"_new_{name}"


def initializer(name: str) -> str:
    """The C method that a class's `__init__` becomes."""
    return f"_init_{name}"


def has_factory(cls: Class) -> bool:
    """Whether objects of a class are made by a C function."""
    return "__init__" in cls.methods and cls.methods["__init__"].plain


def is_declared(program: Program, cls: Class, name: str) -> bool:
    """Whether a method is declared with its class; an override is declared where it is first written."""
    base = program.base_of(cls)
    special = re.fullmatch(r"__\w+__", name) is not None or is_property(cls.methods[name])
    return not special and (base is None or program.method(base, name) is None)


def header(program: Program, part: list[str], below: str = "") -> str:
    """The text of a part's .pxd: all of its modules in one.

    Args:
        program: all modules.
        part: the names of those of this part.
        below: the extension of the part on which it stands.
    """
    modules = [program.modules[name] for name in part]
    lines = ["# made from the annotations of the sources; see meshsim.compiler", "cimport cython"]
    lines.append("from libc.stdint cimport int64_t, uint64_t")
    lines += [f"from {below} cimport *"] if below else []
    lines += [f"from libc.math cimport {name}" for name in sorted(_mathematics(modules))]
    # all names before all classes, for classes that need each other
    lines += [f"cdef class {name}" for module in modules for name in module.classes]
    lines += _wide(program, modules)
    if any(name in PASSING for module in modules for name in module.classes):
        lines += [
            "cdef extern from *:",
            '    """',
            *POOL.split("\n"),
            '    """',
            "    void meshsim_pool(object type)",
        ]
    for module in modules:
        for name, signature in module.functions.items():
            lines += _function(program, module, name, signature)
        for cls in module.classes.values():
            lines += ["", *_class(program, module, cls)]
        for cls in module.classes.values():
            if has_factory(cls):
                arguments = _arguments(program, module, cls.methods["__init__"])
                lines.append(f"@cython.locals(made={cls.name})")
                lines.append(f"cdef {cls.name} {factory(cls.name)}({arguments})")
    return "\n".join(lines) + "\n"


def _mathematics(modules: list[Module]) -> set[str]:
    """What the modules import that C's mathematics has."""
    imports = {there for module in modules for origin, there in module.imports.values() if origin == "math"}
    return (imports & C_MATH) | {C_NAMES[there] for there in imports if there in C_NAMES}


def is_wide(module: Module, name: str) -> bool:
    """Whether a constant needs 64 bits: Cython would take its literal for a Python object."""
    value = module.constants[name]
    return name in module.keys or (isinstance(value, int) and abs(value) >= 1 << 31)


def _wide(program: Program, modules: list[Module]) -> list[str]:
    """Constants of 64 bits, as macros."""
    used = {}
    for module in modules:
        for name in (*module.constants, *module.imports):
            found = program.constant_of(module, name)
            if found and is_wide(*found):
                used[found[1]] = found[0], found[0].constants[found[1]]
    if not used:
        return []
    lines = ["cdef extern from *:", '    """']
    for name, (home, value) in used.items():
        lines.append(f"    #define MESHSIM_{name} {value}{'ULL' if name in home.keys else 'LL'}")
    lines.append('    """')
    for name, (home, _) in used.items():
        lines.append(f"    const {'uint64_t' if name in home.keys else 'int64_t'} MESHSIM_{name}")
    return lines


def _arguments(program: Program, module: Module, signature: Signature, *, own: bool = False) -> str:
    optional = len(signature.arguments) - len(signature.node.args.defaults)
    written = [
        f"{c_type(program, module, annotation)} {name}" + ("=*" if place >= optional else "")
        for place, (name, annotation) in enumerate(signature.arguments)
    ]
    return ", ".join(["self", *written] if own else written)


def is_open(program: Program, cls: Class | None, name: str) -> bool:
    """Whether Python code may override a method; if it has no result it then gives None in C too.

    Any other without a result returns 0. Either result means an exception (by being NULL, or -1), which
    costs its caller less than to ask Python whether there is one.
    """
    return cls is not None and any(
        (above.name in OPEN and name in above.methods) or name in OPEN_METHODS.get(above.name, ())
        for above in program.lineage(cls)
    )


def is_final(program: Program, cls: Class, name: str) -> bool:
    """Whether no class below overrides a method, so that C can call it directly, and inline it."""
    return not is_open(program, cls, name) and not any(
        name in below.methods and cls in program.lineage(below)[1:] for below in program.classes()
    )


def returns_nothing(signature: Signature) -> bool:
    """Whether a function has no result."""
    return signature.returns is None or ast.unparse(signature.returns) == "None"


def _result(
    program: Program, module: Module, cls: Class | None, name: str, signature: Signature
) -> tuple[str, str]:
    """The C type of a result, and how an exception shows in it."""
    if returns_nothing(signature):
        return ("object", "") if is_open(program, cls, name) else ("int", " except -1")
    result = c_type(program, module, signature.returns)
    if result == "bint":
        return result, " except -1"
    if result in ("double", "int64_t"):
        return result, " except? -1"
    if result == "uint64_t":
        return result, " except? 0"
    return result, ""


def _cannot_raise(module: Module, signature: Signature) -> bool:
    """Whether a function only computes, so that nobody has to look for exceptions."""
    for statement in signature.node.body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                continue
            if not isinstance(node, ARITHMETIC) or isinstance(
                node, ast.Div | ast.Mod | ast.FloorDiv | ast.Pow
            ):
                return False
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                inner = module.functions.get(name)
                if name not in C_MATH and (inner is None or not _cannot_raise(module, inner)):
                    return False
    return True


def typed_locals(program: Program, module: Module, owner: Class | None, signature: Signature) -> list[str]:
    """The decorator that types a function's local variables, if it has any that can be typed."""
    types = Locals(program, module, owner).of(signature)
    if not types:
        return []
    written = ", ".join(f"{name}={in_locals(text)}" for name, text in sorted(types.items()))
    return [f"@cython.locals({written})"]


def in_locals(text: str) -> str:
    """A C type as an argument of `cython.locals`, which is an expression."""
    bare = text.removesuffix("[::1]")
    named = f"cython.{bare}" if bare in ("double", "bint") else bare
    return named + text[len(bare) :]


def _function(program: Program, module: Module, name: str, signature: Signature) -> list[str]:
    result, exception = _result(program, module, None, name, signature)
    if _cannot_raise(module, signature):
        exception = " noexcept"
    arguments = _arguments(program, module, signature)
    return [*typed_locals(program, module, None, signature), f"cpdef {result} {name}({arguments}){exception}"]


def _class(program: Program, module: Module, cls: Class) -> list[str]:
    base = program.base_of(cls)
    body = [
        f"    cdef public {c_type(program, module, annotation)} {name}"
        for name, annotation in cls.attributes.items()
    ]
    for name in cls.attributes:
        twice = program.attribute(base, name) if base else None
        if twice is not None:  # Python would have one, C two
            raise TypeError(f"{module.name}: {cls.name}.{name} is an attribute of {twice[0].name} already")
    for name, signature in cls.methods.items():
        if name == "__init__":
            if signature.plain:
                body += _indented(typed_locals(program, module, cls, signature))
                arguments = _arguments(program, module, signature, own=True)
                body.append(f"    cdef int {initializer(cls.name)}({arguments}) except -1")
        elif is_declared(program, cls, name):
            result, exception = _result(program, module, cls, name, signature)
            arguments = _arguments(program, module, signature, own=True)
            body += _indented(typed_locals(program, module, cls, signature))
            body.append(f"    cpdef {result} {name}({arguments}){exception}")
    final = ["@cython.final"] if cls.final else []
    above_ = f"({cls.base})" if base else ""
    return [*final, f"cdef class {cls.name}{above_}:", *(body or ["    pass"])]


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]
