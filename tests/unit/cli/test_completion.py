"""Completion in bash, as typer's own script does it: verbs, options and their words."""

import os
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
SCRIPT = """
meshsim() { "$PYTHON" -m meshsim "$@"; }
eval "$(meshsim --show-completion bash)"
for line in "$@"; do
    COMP_WORDS=($line)
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    env() { command env "${@:1:$#-1}" "$PYTHON" -m meshsim; }
    _meshsim_completion meshsim
    echo "$line: ${COMPREPLY[*]}"
done
complete -p meshsim
"""


def test_bash_completes_verbs_options_and_names() -> None:
    lines = ["meshsim va", "meshsim run --form", "meshsim run --format p", "meshsim init --from ca"]
    variables = {**os.environ, "PYTHON": sys.executable, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run(
        ["bash", "-c", SCRIPT, "bash", *lines], env=variables, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "meshsim va: validate",
        "meshsim run --form: --format",
        "meshsim run --format p: png pdf",
        "meshsim init --from ca: canary",
        "complete -o default -F _meshsim_completion meshsim",  # else it completes the names of files
    ]
