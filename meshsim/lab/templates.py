"""Scenarios to start from, which come with the package, and what `meshsim init` makes of them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from meshsim.errors import MeshsimError, shown
from meshsim.lab.files import reason
from meshsim.scenario import dump, load
from meshsim.scenario.names import listed

FOLDER = Path(__file__).parents[1] / "templates"
DEFAULT = "start"
ENDINGS = (".yaml", ".yml")
GOOD_NAME = re.compile(r"\w[\w .-]*")


def templates() -> dict[str, str]:
    """What there is to start from: descriptions by name, the default first."""
    files = sorted(FOLDER.glob("*.yaml"), key=lambda file: (file.stem != DEFAULT, file.stem))
    return {file.stem: load(file).description for file in files}


def text(template: str, name: str) -> str:
    """A template's text, as the scenario of a name; MeshsimError if there is no such template."""
    names = [file.stem for file in FOLDER.glob("*.yaml")]
    if template not in names:
        raise MeshsimError(f"no template {shown(template)}; choose {listed(sorted(names))}")
    written = (FOLDER / f"{template}.yaml").read_text(encoding="utf-8")
    return re.sub(r"^name: .*\n", lambda _: dump({"name": name}), written, count=1, flags=re.MULTILINE)


def start(name: str, template: str = DEFAULT, *, force: bool = False) -> Path:
    """Saves a scenario to start from as `name`, which may have a folder in front; `force` replaces one.

    MeshsimError: the name or template is no good, the file is there already, or can't be saved.
    """
    path = Path(name)
    stem = path.stem if path.suffix in ENDINGS else path.name
    if not GOOD_NAME.fullmatch(stem) or name.endswith(os.sep):
        raise MeshsimError(
            f"{shown(name)} is not a name for a scenario; write letters, digits, _, - and dots, such as shop"
        )
    content = text(template, stem)
    path = path if path.suffix in ENDINGS else path.with_name(f"{stem}.yaml")
    if not path.parent.is_dir():
        raise MeshsimError(f"there is no folder {path.parent}; make it, or leave it out")
    try:
        with path.open("w" if force else "x", encoding="utf-8", newline="\n") as file:
            file.write(content)
    except FileExistsError:
        raise MeshsimError(f"{path} is there already; choose another name, or add --force") from None
    except OSError as error:
        raise MeshsimError(f"can't write {path}: {reason(error)}; choose another place") from error
    return path
