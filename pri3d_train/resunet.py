"""The 2D network of Pri3D: a ResNet encoder and four up-projections that end at half the image's resolution.

Widths and key names are those of the published weights (encoder.*, decoder.up1..up4, decoder.conv0).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import interpolate

from pri3d_train.config import BackboneName
from pri3d_train.resnet import STAGE_CHANNELS, ResNetEncoder

#: Channels of the pixel features (the paper gives none; these are the published networks').
FEATURE_CHANNELS: dict[str, int] = {"resnet18": 32, "resnet50": 128}


class UpProjection(nn.Module):
    """Resize, then two convolutional branches that are summed; halves or keeps the channels as told.

    The key names are those of Hu et al., "Revisiting Single Image Depth Estimation" (WACV 2019), where the
    published decoder comes from.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 5, padding=2, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv1_2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn1_2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(inputs, outputs, 5, padding=2, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, *size), float."""
        x = interpolate(x, size=size, mode="bilinear", align_corners=True)
        deep = self.bn1_2(self.conv1_2(self.relu(self.bn1(self.conv1(x)))))
        out: Tensor = self.relu(deep + self.bn2(self.conv2(x)))
        return out


class Decoder(nn.Module):
    """Stage outputs to pixel features at twice layer1's size, with additive skips from layer3, 2 and 1."""

    def __init__(self, stages: tuple[int, int, int, int], outputs: int) -> None:
        super().__init__()
        one, two, three, four = stages
        self.up1 = UpProjection(four, three)
        self.up2 = UpProjection(three, two)
        self.up3 = UpProjection(two, one)
        self.up4 = UpProjection(one, one // 2)
        self.conv0 = nn.Conv2d(one // 2, outputs, 1)

    def forward(self, stages: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
        """Outputs of layer1..layer4 -> (B, outputs, 2 h1, 2 w1) with (h1, w1) the size of layer1's output."""
        one, two, three, four = stages
        x = self.up1(four, _size(three)) + three
        x = self.up2(x, _size(two)) + two
        x = self.up3(x, _size(one)) + one
        height, width = _size(one)
        out: Tensor = self.conv0(self.up4(x, (2 * height, 2 * width)))
        return out


class ResUNet(nn.Module):
    """Normalised images (B, 3, H, W) to features (B, C, ~H/2, ~W/2): 240x320 gives 120x160.

    Pixel (x, y) of the image belongs to cell (x // 2, y // 2). Sides that are no multiple of 4 are rounded up
    to the next one by the encoder, which shifts that correspondence by less than one cell.
    """

    def __init__(self, backbone: BackboneName) -> None:
        super().__init__()
        self.encoder = ResNetEncoder(backbone)
        self.decoder = Decoder(STAGE_CHANNELS[backbone], FEATURE_CHANNELS[backbone])

    def forward(self, images: Tensor) -> Tensor:
        """Features without activation or normalisation, float."""
        features: Tensor = self.decoder(self.encoder(images))
        return features


def _size(x: Tensor) -> tuple[int, int]:
    return x.shape[-2], x.shape[-1]
