import pytest
import torch

from pri3d_train.pair_model import PairModel
from pri3d_train.resnet import ResNetEncoder
from pri3d_train.resunet import ResUNet


def batch_norm(name, channels):
    return {
        **{f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")},
        f"{name}.num_batches_tracked": (),
    }


def published_shapes(backbone):
    """Keys and shapes of a published checkpoint, from the layout of torchvision's files and pri3d.md 4.3."""
    deep = backbone == "resnet50"
    out = {"encoder.conv1.weight": (64, 3, 7, 7), **batch_norm("encoder.bn1", 64)}
    inputs = 64
    for stage, (depth, width) in enumerate(
        zip((3, 4, 6, 3) if deep else (2, 2, 2, 2), (64, 128, 256, 512), strict=True), 1
    ):
        outputs = width * (4 if deep else 1)
        for block in range(depth):
            at = f"encoder.layer{stage}.{block}"
            if deep:
                convs = [(width, inputs, 1), (width, width, 3), (outputs, width, 1)]
            else:
                convs = [(width, inputs, 3), (width, width, 3)]
            for number, (after, before, size) in enumerate(convs, 1):
                out[f"{at}.conv{number}.weight"] = (after, before, size, size)
                out |= batch_norm(f"{at}.bn{number}", after)
            if block == 0 and inputs != outputs:
                out[f"{at}.downsample.0.weight"] = (outputs, inputs, 1, 1)
                out |= batch_norm(f"{at}.downsample.1", outputs)
            inputs = outputs
    widths = (2048, 1024, 512, 256, 128) if deep else (512, 256, 128, 64, 32)
    for number in range(1, 5):
        before, after, at = widths[number - 1], widths[number], f"decoder.up{number}"
        out[f"{at}.conv1.weight"] = (after, before, 5, 5)
        out[f"{at}.conv1_2.weight"] = (after, after, 3, 3)
        out[f"{at}.conv2.weight"] = (after, before, 5, 5)
        out |= (
            batch_norm(f"{at}.bn1", after) | batch_norm(f"{at}.bn1_2", after) | batch_norm(f"{at}.bn2", after)
        )
    channels = 128 if deep else 32
    out |= {"decoder.conv0.weight": (channels, widths[-1], 1, 1), "decoder.conv0.bias": (channels,)}
    return {f"backbone.{name}": shape for name, shape in out.items()}


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
def test_published_keys_and_shapes_load_strictly(backbone):
    with torch.device("meta"):
        model = PairModel(backbone)
        published = {name: torch.empty(shape) for name, shape in published_shapes(backbone).items()}
    model.load_state_dict(published, strict=True, assign=True)
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == published_shapes(
        backbone
    )


@pytest.mark.parametrize(
    ("backbone", "millions", "encoder"), [("resnet18", 20.67, 11.18), ("resnet50", 175.33, 23.51)]
)
def test_parameter_counts_are_those_of_the_paper_s_networks(backbone, millions, encoder):
    with torch.device("meta"):
        network = ResUNet(backbone)
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 2) == millions
    assert round(sum(p.numel() for p in network.encoder.parameters()) / 1e6, 2) == encoder


@pytest.mark.parametrize(("backbone", "channels"), [("resnet18", 32), ("resnet50", 128)])
def test_a_240x320_image_gives_features_at_half_its_size(backbone, channels):
    with torch.device("meta"):
        network = ResUNet(backbone)
        images = torch.empty(2, 3, 240, 320)
        stages = network.encoder(images)
        features = network(images)
    assert [tuple(stage.shape[-2:]) for stage in stages] == [(60, 80), (30, 40), (15, 20), (8, 10)]
    assert tuple(features.shape) == (2, channels, 120, 160)


def test_the_bottleneck_strides_in_its_3x3_convolution():
    with torch.device("meta"):
        block = ResNetEncoder("resnet50").layer2[0]
    assert block.conv1.stride == (1, 1)
    assert block.conv2.stride == (2, 2)


def test_images_are_normalised_with_imagenet_s_statistics():
    model = PairModel("resnet18")
    seen = []
    model.backbone = torch.nn.Module()
    model.backbone.forward = lambda x: seen.append(x) or x
    model.features(torch.tensor([0, 128, 255], dtype=torch.uint8).expand(1, 4, 4, 3))
    expected = [(0 - 0.485) / 0.229, (128 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    assert torch.allclose(seen[0][0, :, 0, 0], torch.tensor(expected), atol=1e-6)


def test_neither_activation_nor_normalisation_ends_the_network():
    torch.manual_seed(0)
    features = ResUNet("resnet18")(torch.randn(2, 3, 64, 64))
    assert (features < 0).any()
    assert features.norm(dim=1).std() > 1e-3
