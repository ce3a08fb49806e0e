"""COLMAP's files: models in every form, dense depth, and the one door to its library."""
