"""KITTI's published files: where drives are, calibration, poses, scans, depth maps."""
