"""A Ray cluster on this machine: a head without CPUs and two nodes of one CPU each.

Prints its address, then does what it is told line by line on standard input: "kill" kills a node, and an end
of the input ends the cluster. A process of its own, because Ray changes the process that it is imported into.
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
