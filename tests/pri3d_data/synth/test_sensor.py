import numpy as np

from pri3d_data.synth.sensor import hole_mask, noisy_depth, quantised_depth


def test_depth_is_rounded_to_the_millimetre_and_what_does_not_fit_is_missing():
    depth_m = np.array([[1.0004, 1.0006, -0.5, 65.535, 70.0, np.inf]])
    assert quantised_depth(depth_m).tolist() == [[1000, 1001, 0, 65535, 0, 0]]


def test_noise_grows_with_distance():
    rng = np.random.default_rng(0)
    near, far = np.full((100, 100), 1.0), np.full((100, 100), 4.0)
    spread_near, spread_far = noisy_depth(near, rng).std(), noisy_depth(far, rng).std()
    assert 0.001 < spread_near < 0.004
    assert 0.02 < spread_far < 0.04


def test_holes_are_at_edges_and_in_blobs_only():
    depth_m = np.full((60, 80), 2.0)
    depth_m[:, 40:] = 3.0
    masks = np.stack([hole_mask(depth_m, 70.0, np.random.default_rng(seed)) for seed in range(40)])
    assert masks[:, :, 39:41].all()
    assert 0.0 < masks[:, :, :38].mean() < 0.1
    assert any(not mask[:, :38].any() for mask in masks)
