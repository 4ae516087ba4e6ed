"""The ways against each other: same items, same labels, same metric, one bill each.

`lmtutor.compare(data, text=..., label=...)` is `lmtutor.compare.run.compare`: the room is called by the name of what it is for.
"""

import sys
from types import ModuleType


class _Room(ModuleType):
    def __call__(self, *data, **settings):
        from lmtutor.compare.run import compare

        return compare(*data, **settings)


sys.modules[__name__].__class__ = _Room
