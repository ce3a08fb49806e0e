"""Captures we can make: procedural rooms whose surfaces, cameras and labels are known exactly.

A room (`room`, `layout`) is seen by a moving camera (`path`, `raycast`), through a sensor (`sensor`), and
lands on disk in a data set's raw layout (`scannet`). `distance` is the truth tests compare with.
"""
