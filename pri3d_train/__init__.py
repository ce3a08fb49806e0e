"""The trainer: networks, losses, the loop, checkpoints and the `pri3d-train` command, over shards."""
