"""Arrays and raw formats: data set readers, geometry kernels, captures we can make.

What lives here takes files or arrays and gives arrays. It knows no Dask, no tar and no torch.
"""
