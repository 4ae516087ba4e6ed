"""Install this handout without the internet: `python3 install.py`, with the Python that README.txt names.

Everything goes into the folder `env` beside this file and into lmtutor's folder of downloads; nothing else on the machine changes.
"""

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
WHEELS = HERE / "wheels"
ENV = HERE / "env"
BIN = ENV / ("Scripts" if os.name == "nt" else "bin")
OFFLINE = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": WHEELS.as_uri(), "PIP_CONSTRAINT": "",
           "PIP_DISABLE_PIP_VERSION_CHECK": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
FETCH = """
import subprocess, sys
from lmtutor.data.assets import ASSETS, NOT_PASSED_ON
sys.exit(subprocess.call([sys.executable, "-m", "lmtutor", "fetch", *(name for name in ASSETS if name not in NOT_PASSED_ON)]))
"""


def main():
    made_for = re.search(r"-cp3(\d+)-", next(WHEELS.glob("torch-*.whl")).name)[1]
    if sys.version_info[:2] != (3, int(made_for)):
        sys.exit(f"This handout is for Python 3.{made_for}, and this is Python {sys.version_info[0]}.{sys.version_info[1]}: "
                 f"say python3.{made_for} install.py (on Windows: py -3.{made_for} install.py)")
    (pip,) = WHEELS.glob("pip-*.whl")
    python = str(BIN / "python")
    notebooks = [str(path) for path in (HERE / "notebooks").rglob("*.ipynb")]
    print("Installing into the folder env: this takes some minutes.", flush=True)
    venv.create(ENV, with_pip=False, clear=True)
    for command in (
        [python, f"{pip}/pip", "install", "--quiet", "-c", str(HERE / "constraints.txt"), "pip", "lmtutor", "jupyterlab"],
        [python, "-c", FETCH],
        [python, "-m", "jupyter", "trust", *notebooks],
    ):
        if subprocess.run(command, env=OFFLINE, stdout=subprocess.DEVNULL).returncode:
            sys.exit("Not installed: the reason stands above.")
    print(f'\nReady. Begin with:\n  "{BIN / "jupyter"}" lab --notebook-dir="{HERE / "notebooks"}"')


if __name__ == "__main__":
    main()
