import numpy as np
import pytest
import torch
from equation_1 import brute_force

from pri3d_train.info_nce import gather_features, point_info_nce


@pytest.fixture
def sample():
    random = np.random.default_rng(3)
    query, key = random.normal(size=(2, 4, 9, 5))
    valid = random.random((4, 9)) < 0.7
    valid[2] = False
    return query, key + query, valid


@pytest.mark.parametrize("temperature", [0.4, 0.07])
def test_it_is_equation_1_computed_by_hand(sample, temperature):
    query, key, valid = sample
    loss = point_info_nce(
        *(torch.from_numpy(part).float() for part in (query, key)), torch.from_numpy(valid), temperature
    )
    assert float(loss) == pytest.approx(brute_force(query, key, valid, temperature), rel=1e-5)


def test_its_gradient_is_the_slope_of_equation_1(sample):
    query, key, valid = sample
    ends = [torch.from_numpy(part).float().requires_grad_() for part in (query, key)]
    point_info_nce(*ends, torch.from_numpy(valid)).backward()
    for which in (0, 1):
        slope = np.zeros_like(query)
        for place in np.ndindex(*query.shape):
            sides = [[query.copy(), key.copy()] for _ in range(2)]
            sides[0][which][place] += 1e-5
            sides[1][which][place] -= 1e-5
            slope[place] = (brute_force(*sides[0], valid, 0.4) - brute_force(*sides[1], valid, 0.4)) / 2e-5
        assert np.allclose(ends[which].grad.numpy(), slope, atol=1e-5)


def test_a_batch_without_matches_costs_nothing_but_reaches_every_parameter():
    ends = [torch.randn(2, 6, 4, requires_grad=True) for _ in range(2)]
    loss = point_info_nce(*ends, torch.zeros(2, 6, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert all(end.grad is not None and not end.grad.any() for end in ends)


def test_padding_changes_nothing(sample):
    query, key, _ = (torch.from_numpy(part) for part in sample)
    whole = torch.ones(4, 9, dtype=torch.bool)
    padded = [torch.cat([part, 1e3 * torch.randn(4, 3, 5)], 1) for part in (query, key)]
    mask = torch.cat([whole, torch.zeros(4, 3, dtype=torch.bool)], 1)
    assert torch.allclose(point_info_nce(*padded, mask), point_info_nce(query, key, whole))


def test_autocast_does_not_lower_its_precision(sample):
    query, key, valid = (torch.from_numpy(part) for part in sample)
    with torch.autocast("cpu", torch.bfloat16):
        inside = point_info_nce(query.float(), key.float(), valid)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, point_info_nce(query.float(), key.float(), valid))


def test_a_pixel_reads_the_cell_at_half_its_coordinates():
    features = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).view(2, 3, 4, 5)
    pixels = torch.tensor([[[0, 0], [1, 1], [9, 7]], [[2, 3], [3, 2], [8, 0]]])
    read = gather_features(features, pixels)
    for pair in range(2):
        for row, (x, y) in enumerate(pixels[pair].tolist()):
            assert torch.equal(read[pair, row], features[pair, :, y // 2, x // 2])
