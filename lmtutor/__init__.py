"""lmtutor: pre-training, fine-tuning and in-context learning, each one run, measured and compared.

Importing the package loads nothing heavy; the rooms (`lmtutor.models`, `lmtutor.train`, ...) load what they need.
"""

__version__ = "1.0.0"


def __getattr__(name: str):
    if name == "compare":  # so that `import lmtutor; lmtutor.compare(...)` works and the import stays light
        import importlib

        return importlib.import_module("lmtutor.compare")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
