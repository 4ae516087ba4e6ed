"""`python -m lmtutor` is `lmtutor`; so `accelerate launch -m lmtutor` works too."""

import sys

OLDEST = (3, 11)

if sys.version_info < OLDEST:  # before anything that an older Python cannot read; pip refuses it by itself
    sys.stderr.write(
        "error: lmtutor needs Python {}.{} or newer, this is {}.{} ({}); "
        "make an environment with a newer one, for example `python3.12 -m venv .venv`\n".format(
            *(OLDEST + tuple(sys.version_info[:2]) + (sys.executable,))
        )
    )
    sys.exit(2)

if __name__ == "__main__":
    from lmtutor.cli.commands import main

    main()
