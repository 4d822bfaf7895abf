import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from moe_tutorial.study import digits, digits4, put_aside, regimes_2d


@pytest.mark.parametrize(
    ("data", "train", "test", "classes"),
    [
        (regimes_2d(n=100), (100, 2), (100, 2), 2),
        (digits(), (1347, 64), (450, 64), 10),
        (digits4(), (5388, 64), (1800, 64), 10),
    ],
)
def test_shapes_and_types(data, train, test, classes):
    assert data.x_train.shape == train
    assert data.x_test.shape == test
    assert data.y_train.unique().tolist() == list(range(classes))
    for x, y, regime in (data[:3], data[3:]):
        assert x.dtype == torch.float32
        assert y.dtype == regime.dtype == torch.int64
        assert len(x) == len(y) == len(regime)
        assert x.isfinite().all()


@pytest.mark.parametrize("make", [digits, digits4])
def test_raw_is_pixels_and_standardised_is_centred(make):
    raw, standard = make("raw"), make("standardised")
    assert raw.x_train.min() == 0
    assert raw.x_train.max() == 1
    assert torch.allclose(standard.x_train.mean(0), torch.zeros(64), atol=1e-5)
    deviation = standard.x_train.std(0)
    assert (((deviation - 1).abs() < 1e-2) | (deviation == 0)).all()
    # The test images by the training images' mean and deviation: their own are not known when a model is asked.
    scale = raw.x_train.std(0, correction=0)
    expected = (raw.x_test - raw.x_train.mean(0)) / torch.where(scale < 1e-6, 1.0, scale)
    torch.testing.assert_close(standard.x_test, expected, atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="inputs must be one of 'raw', 'standardised', got 'grey'"):
        make("grey")


def test_digits4_turns_each_image_and_renames_it_by_a_permutation():
    data = digits4()
    for x, y, regime in (data[:3], data[3:]):
        images, names = x.reshape(4, -1, 8, 8), y.reshape(4, -1)
        for rule in range(4):
            assert torch.equal(images[rule], images[0].rot90(rule, dims=(1, 2)))
            pairs = set(zip(names[0].tolist(), names[rule].tolist(), strict=True))
            assert len(pairs) == len({old for old, _ in pairs}) == len({new for _, new in pairs}) == 10
            assert (rule == 0) == all(old == new for old, new in pairs)
        assert torch.equal(regime, torch.arange(4).repeat_interleave(len(regime) // 4))


def test_no_test_image_has_a_rotated_twin_in_the_training_set():
    data = digits4()
    twins_at_home = len({image.tobytes() for image in np.asarray(load_digits().data)})
    train = {row.numpy().tobytes() for row in data.x_train}
    shared = sum(row.numpy().tobytes() in train for row in data.x_test)
    assert shared == 0
    assert twins_at_home == 1797  # or the test above would fail for images that are equal to begin with


def test_what_is_put_aside_has_no_rotated_twin_among_what_is_kept():
    data = digits4()
    most, (x, y) = put_aside(data)
    images = len(data.x_train) // 4
    assert len(x) == len(y) == 4 * (images - images * 4 // 5)
    assert len(most.x_train) == len(most.y_train) == len(most.regime_train) == len(data.x_train) - len(x)
    kept, aside = ({row.numpy().tobytes() for row in rows} for rows in (most.x_train, x))
    assert not kept & aside
    assert torch.equal(most.x_test, data.x_test)


def test_one_line_solves_a_quarter_of_the_plane_and_none_solves_all():
    data = regimes_2d(n=4000)

    def best_line(rows):
        x, y = data.x_train[rows].numpy(), data.y_train[rows].numpy()
        return LogisticRegression(C=1e5).fit(x, y).score(x, y)

    assert all(best_line(data.regime_train == quarter) > 0.99 for quarter in range(4))
    assert best_line(torch.ones(4000, dtype=torch.bool)) < 0.8


def test_a_seed_decides_the_plane():
    assert torch.equal(regimes_2d(seed=3).x_train, regimes_2d(seed=3).x_train)
    assert not torch.equal(regimes_2d(seed=3).x_train, regimes_2d(seed=4).x_train)
    with pytest.raises(ValueError, match="n must be an integer of at least 1, got 0"):
        regimes_2d(n=0)


@pytest.mark.parametrize("make", [digits, digits4])
def test_another_base_seed_draws_another_split_of_the_same_images(make, monkeypatch):
    usual = make("raw")
    monkeypatch.setenv("MOE_SEED", "4242424242")
    other = make("raw")
    assert torch.equal(other.x_train, make("raw").x_train)
    assert not torch.equal(usual.x_train, other.x_train)
    ink = [torch.cat([data.x_train, data.x_test]).sum(1).sort().values for data in (usual, other)]
    torch.testing.assert_close(*ink)
