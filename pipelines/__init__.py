"""From raw captures to shards: one module a data set, the engine they share, the `pri3d-data` command."""
