"""Small made-up rooms in ScanNet's layout, and how they become shards."""

from click.testing import CliRunner

from pipelines.cli import group
from pri3d_data.synth.scannet import ScanNetSynth

ROOMS = ScanNetSynth(frames=8, color_size=(96, 72), depth_size=(96, 72), pose_stride=12, mesh_spacing_m=0.08)


def build(raw, out, *options):
    """`pri3d-data build scannet` on small images, in this process."""
    size = ["--image-size", "72x96", "--voxel-m", "0.16", "--stride", "1", "--workers", "0"]
    command = ["build", "scannet", "--input", str(raw), "--output", str(out), *size, *options]
    done = CliRunner().invoke(group, command)
    assert done.exit_code == 0, done.output
