"""``ray start`` on the address that it is given: ``python -m studies.cluster.ray_start start ...``.

Ray replaces 127.0.0.1 by an address that others can reach, and then listens on all interfaces, unless
RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 says that there is no cluster; and then it lets no second node join. Here the
variable is set, for all that this process starts, and the second node may join.
"""

from __future__ import annotations

import os

from ray._private import ray_constants, services
from ray.scripts import scripts


def main() -> None:
    """Start a head or a node, as ``ray start`` does."""
    if os.environ.get("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER") == "0":
        ray_constants.ENABLE_RAY_CLUSTER = True
        services.resolve_ip_for_localhost = lambda host: host
        services.get_node_ip_address = lambda address=None: "127.0.0.1"
    scripts.main()


if __name__ == "__main__":
    main()
