"""The 3D network: a sparse residual U-Net on voxels, on interchangeable backends with one set of weights."""
