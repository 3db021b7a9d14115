"""The plain form of the whole package beside the compiled one, in one process, under the name ``plain``.

    import plain                      # once, to put the finder in place
    from plain.engine import simulate

The sources are read from the package's own folder, with ``meshsim`` replaced by ``plain`` in their imports;
so `plain.mesh.call.Call` is the source's class, whatever `meshsim.mesh.call.Call` is.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from types import CodeType, ModuleType

from meshsim.forms import PACKAGE

NAME = __name__.rpartition(".")[2]


class Renamed(ast.NodeTransformer):
    """Imports `plain` wherever a source imports `meshsim`."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        if node.module and node.module.split(".")[0] == "meshsim":
            node.module = NAME + node.module[len("meshsim") :]
        return node

    def visit_Import(self, node: ast.Import) -> ast.Import:
        for alias in node.names:
            if alias.name == "meshsim":
                alias.name, alias.asname = NAME, "meshsim"
        return node


class Loader(SourceFileLoader):
    """Compiles a source of the package under its other name."""

    def get_code(self, fullname: str) -> CodeType:
        tree = ast.fix_missing_locations(Renamed().visit(ast.parse(self.get_data(self.path))))
        return compile(tree, self.path, "exec", dont_inherit=True)


class Finder(MetaPathFinder):
    """Finds `plain.mesh.call` where `meshsim.mesh.call` has its source."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        first, *rest = fullname.split(".")
        if first != NAME or not rest:
            return None
        place = PACKAGE.joinpath(*rest)
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if not file.exists():
            return None
        folder = [str(place)] if place.is_dir() else None
        loader = Loader(fullname, str(file))
        return spec_from_file_location(fullname, file, loader=loader, submodule_search_locations=folder)


__path__ = [str(PACKAGE)]
__version__ = "plain"
sys.modules[NAME] = sys.modules[__name__]
sys.meta_path.insert(0, Finder())

before = os.environ.get("MESHSIM_FORM")
os.environ["MESHSIM_FORM"] = "plain"
try:
    pass
finally:
    if before is None:
        del os.environ["MESHSIM_FORM"]
    else:
        os.environ["MESHSIM_FORM"] = before
