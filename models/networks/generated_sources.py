"""The sources that PyG writes for its convolutions."""

import sys
import tempfile
from importlib.util import cache_from_source
from pathlib import Path

_PREFIX = "torch_geometric.nn.conv."


def remove_generated_sources() -> None:
    """Removes what PyG wrote for its convolutions in this process into the temporary directory, loaded, and left."""
    aside = Path(tempfile.gettempdir())
    for module in [module for name, module in list(sys.modules.items()) if name.startswith(_PREFIX)]:
        path = getattr(module, "__file__", None)
        if path is not None and Path(path).parent == aside:
            for one in (path, cache_from_source(path)):
                Path(one).unlink(missing_ok=True)
