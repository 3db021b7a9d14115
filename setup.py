"""What pyproject.toml can't say: the mesh is compiled when it is installed (see meshsim/compiler)."""

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).parent))

from meshsim.compiler.build import Build, extensions

setup(ext_modules=extensions(), cmdclass={"build_ext": Build})
