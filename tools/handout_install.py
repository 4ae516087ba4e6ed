"""Install this handout without the internet: `python install.py`, with the Python that README.txt names.

Everything goes into the folder `env` beside this file and into lmtutor's cache of data; nothing else on the machine changes.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENV = HERE / "env"
BIN = ENV / ("Scripts" if os.name == "nt" else "bin")
OFFLINE = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": (HERE / "wheels").as_uri(), "PIP_CONSTRAINT": "",
           "PIP_DISABLE_PIP_VERSION_CHECK": "1", "HF_HUB_OFFLINE": "1"}


def main():
    light = not list((HERE / "wheels").glob("torch-*.whl"))  # then what lmtutor depends on is the machine's own
    venv.create(ENV, with_pip=False, clear=True, system_site_packages=light)
    (pip,) = (HERE / "wheels").glob("pip-*.whl")
    python = str(BIN / "python")
    pins = [] if light else ["-c", str(HERE / "constraints.txt")]
    install = [python, f"{pip}/pip", "install", "--quiet", *pins, "pip", "lmtutor", "jupyterlab"]
    print("installing; this takes some minutes ...", flush=True)
    subprocess.run(install, check=True, env=OFFLINE)
    subprocess.run([python, "-m", "lmtutor", "fetch"], check=True, env=OFFLINE)
    notebooks = [str(path) for path in (HERE / "notebooks").rglob("*.ipynb")]
    subprocess.run([str(BIN / "jupyter"), "trust", *notebooks], check=True, stdout=subprocess.DEVNULL)
    print(f"\nReady. Begin with:\n  {BIN / 'jupyter'} lab --notebook-dir={HERE / 'notebooks'}")


if __name__ == "__main__":
    sys.exit(main())
