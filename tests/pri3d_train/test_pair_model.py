from dataclasses import replace

import numpy as np
import pytest
import torch
from equation_1 import brute_force
from pretend_sparse import PretendSparse
from pretend_stream import PretendStream

from pri3d_data.errors import DataError
from pri3d_train.config import LossConfig
from pri3d_train.geometry_batch import stack_chunks
from pri3d_train.pair_batch import stack_pairs
from pri3d_train.pair_model import PairModel

STREAM = PretendStream(size=(16, 24), matches=9, geometry="paper")


def small(losses):
    """A joint model whose image network is one convolution, so that float64 can follow it by hand."""
    torch.manual_seed(2)
    model = PairModel("resnet18", losses, PretendSparse())
    model.backbone = torch.nn.Conv2d(3, 32, 2, 2)
    return model


def joint_batch(**change):
    stream = replace(STREAM, **change)
    return stack_pairs([stream.pair(0, 0, lane) for lane in range(3)], 12, ("view", "geo"))


def test_the_joint_loss_is_equation_1_by_hand():
    batch = joint_batch(bare_lanes=(2,))
    model = small(LossConfig(2.0, 3.0))
    terms = {name: float(value.detach()) for name, value in model(batch).items()}
    state = {name: value.double().numpy() for name, value in model.state_dict().items()}
    double = small(LossConfig(2.0, 3.0)).double()
    with torch.no_grad():
        # Normalisation and the convolution are torch's own; everything after them is written out here.
        maps = [
            double.backbone((image.permute(0, 3, 1, 2).double() / 255 - double.mean) / double.std).numpy()
            for image in (batch.image_a, batch.image_b)
        ]

    def read(features, item, pixels):
        return np.array([features[item, :, y // 2, x // 2] for x, y in pixels])

    matches = batch.matches.numpy()
    ends = [np.stack([read(maps[k], i, matches[i, :, 2 * k : 2 * k + 2]) for i in range(3)]) for k in (0, 1)]
    assert terms["loss_view"] == pytest.approx(brute_force(*ends, batch.valid.numpy(), 0.4), rel=1e-5)

    frames = []
    for lane in (0, 1):
        pair = STREAM.pair(0, 0, lane)
        for features, chunk in zip(maps, (pair.chunk_a, pair.chunk_b), strict=True):
            pixels = read(features, lane, chunk.matches[:, :2])
            entering = np.concatenate([chunk.colors / 255, chunk.voxels / 10], 1)
            hidden = np.tanh(entering @ state["backbone3d.first.weight"].T + state["backbone3d.first.bias"])
            voxels = hidden @ state["backbone3d.last.weight"].T + state["backbone3d.last.bias"]
            query = pixels @ state["w2d.weight"].T + state["w2d.bias"]
            key = voxels[chunk.matches[:, 2]] @ state["w3d.weight"].T + state["w3d.bias"]
            frames.append(brute_force(query[None], key[None], np.ones((1, 9), bool), 0.4))
    assert terms["loss_geo"] == pytest.approx(np.mean(frames), rel=1e-5)
    assert terms["loss"] == pytest.approx(2 * terms["loss_view"] + 3 * terms["loss_geo"], rel=1e-6)


@pytest.mark.parametrize("bare", [(), (1,), (0, 1, 2)])
def test_gradients_reach_every_parameter_of_both_networks_with_or_without_geometry(bare):
    model = small(LossConfig(1.0, 1.0))
    model(joint_batch(bare_lanes=bare))["loss"].backward()
    gradients = {name: value.grad for name, value in model.named_parameters()}
    assert all(gradient is not None for gradient in gradients.values())
    for name in ("w2d.weight", "w3d.weight", "backbone3d.first.weight"):
        assert bool(gradients[name].any()) == (bare != (0, 1, 2)), name
    assert gradients["backbone.weight"].any()


def test_geometry_alone_trains_the_image_network_too():
    model = small(LossConfig(0.0, 1.0))
    terms = model(joint_batch())
    assert terms.keys() == {"loss", "loss_geo"}
    terms["loss"].backward()
    assert model.backbone.weight.grad.any()


def test_what_lacks_matches_costs_its_own_term_only():
    whole, model = joint_batch(), small(LossConfig(1.0, 1.0))
    bare = joint_batch(bare_lanes=(0, 1, 2))
    assert torch.equal(model(bare)["loss_view"], model(whole)["loss_view"])
    assert float(model(bare)["loss_geo"].detach()) == 0.0
    blind = replace(whole, valid=torch.zeros_like(whole.valid))
    assert float(model(blind)["loss_view"].detach()) == 0.0
    assert torch.equal(model(blind)["loss_geo"], model(whole)["loss_geo"])


def test_parts_have_the_published_names():
    state = PairModel("resnet50", LossConfig(1.0, 1.0, 1.0), PretendSparse()).state_dict()
    assert {name.split(".")[0] for name in state} == {"backbone", "backbone3d", "w2d", "w3d", "headnet"}
    assert (tuple(state["w2d.weight"].shape), tuple(state["w3d.weight"].shape)) == ((64, 128), (64, 96))


def test_both_frames_of_a_pair_are_items_of_their_own():
    pairs = [replace(STREAM, bare_lanes=(1,)).pair(0, 0, lane) for lane in range(3)]
    batch = stack_chunks(pairs, 11)
    assert batch.coordinates.dtype == torch.int32
    chunks = {0: pairs[0].chunk_a, 2: pairs[2].chunk_a, 3: pairs[0].chunk_b, 5: pairs[2].chunk_b}
    assert batch.coordinates[:, 0].unique().tolist() == list(chunks)
    for item, chunk in chunks.items():
        assert torch.equal(
            batch.coordinates[batch.coordinates[:, 0] == item][:, 1:], torch.from_numpy(chunk.voxels)
        )
    assert batch.valid.sum(1).tolist() == [9, 0, 9, 9, 0, 9]
    for item, x, y, row in [(i, *m) for i in chunks for m in batch.matches[i][batch.valid[i]].tolist()]:
        pair = pairs[item % 3]
        image = pair.image_a if item < 3 else pair.image_b
        assert batch.coordinates[row, 0] == item
        # The stand-in's voxels have the colour of the pixel they match, unless a later match took them.
        assert batch.colors[row].tolist() == image[y, x].tolist()


@pytest.mark.parametrize("match", [[24, 0, 0], [0, 16, 0], [0, 0, 10], [0, 0, -1]])
def test_a_match_with_what_is_not_there_never_reaches_the_device(match):
    pair = STREAM.pair(0, 0, 0)
    pair.chunk_b.matches[0] = match
    with pytest.raises(DataError, match=r"scene0: the chunk of frame 0 has 10 voxels"):
        stack_chunks([pair], 16)
