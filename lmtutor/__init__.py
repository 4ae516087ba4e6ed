"""lmtutor: pre-training, fine-tuning and in-context learning, each one run, measured and compared.

Importing the package loads nothing heavy; the rooms (`lmtutor.models`, `lmtutor.train`, ...) load what they need.
"""

__version__ = "0.1.0"
