"""A Ray cluster on this machine: a head without CPUs and two nodes of one CPU each.

Prints its address, then obeys standard input line by line: "kill" kills a node, and the end of the input
shuts the cluster down. It runs in its own process, because Ray changes the process that imports it.
"""

import sys

from ray.cluster_utils import Cluster

MEMORY = 80 * 2**20


def main():
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": MEMORY},
    )
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=MEMORY) for _ in range(2)]
    print(cluster.address, flush=True)
    for line in sys.stdin:
        if line.strip() == "kill":
            cluster.remove_node(nodes.pop(), allow_graceful=False)
            print("killed", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
