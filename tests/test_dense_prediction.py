import pytest
import torch
from torch import nn

from igep.dense_prediction import DensePredictionDecoder


def maps(*channels: int, grid: tuple[int, int] = (3, 4), frames: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(frames, size, *grid, generator=generator) for size in channels]


@pytest.mark.parametrize("taps", [1, 2, 4])
@pytest.mark.parametrize(
    ("grid", "output"), [((2, 2), (32, 32)), ((3, 5), (24, 40)), ((6, 4), (5, 7)), ((8, 8), (3, 3))]
)
def test_any_grid_gives_any_output_size(taps, grid, output):
    decoder = DensePredictionDecoder(12, channels=8, num_layers_tapped=taps, out_channels=4)
    assert decoder(maps(*[12] * taps, grid=grid), output).shape == (2, 4, *output)


@pytest.mark.parametrize(("grid", "output"), [((2, 2), (8, 8)), ((4, 4), (4, 4)), ((3, 4), (48, 64))])
def test_every_parameter_gets_a_gradient(grid, output):
    torch.manual_seed(0)
    decoder = DensePredictionDecoder([6, 10, 14], channels=8, num_layers_tapped=3, out_channels=2)
    decoder(maps(6, 10, 14, grid=grid), output).square().sum().backward()
    without = [name for name, value in decoder.named_parameters() if value.grad is None or not value.grad.any()]
    assert without == []


def test_every_tap_reaches_the_prediction():
    decoder = DensePredictionDecoder(6, channels=8, num_layers_tapped=3, out_channels=1)
    features = [feature_map.requires_grad_() for feature_map in maps(6, 6, 6)]
    decoder(features, (12, 16)).sum().backward()
    assert all(feature_map.grad.any() for feature_map in features)


def test_the_prediction_stays_where_its_features_are():
    torch.manual_seed(0)
    decoder = DensePredictionDecoder(6, channels=8, num_layers_tapped=2, out_channels=1)
    features = maps(6, 6, grid=(8, 8), frames=1)
    moved = [feature_map.clone() for feature_map in features]
    for feature_map in moved:
        feature_map[..., 0, 0] += 3 * torch.randn(6)
    change = (decoder(moved, (32, 32)) - decoder(features, (32, 32))).abs()[0, 0]
    assert change[:4, :4].mean() > 0.01
    assert change[20:, 20:].max() == 0


def test_scale_of_a_layer_does_not_matter():
    decoder = DensePredictionDecoder(6, channels=8, num_layers_tapped=2, out_channels=1)
    first, second = maps(6, 6)
    torch.testing.assert_close(
        decoder([first, second], (6, 8)), decoder([first * 50, second * 50], (6, 8)), atol=1e-3, rtol=0
    )


def test_capacity_is_channels_and_taps():
    def size(channels: int, taps: int) -> int:
        return sum(value.numel() for value in DensePredictionDecoder(16, channels, taps, 2).parameters())

    assert size(8, 2) < size(16, 2) < size(32, 2)
    assert size(16, 1) < size(16, 2) < size(16, 4)
    assert size(32, 2) < 60_000


def test_it_learns_a_map_that_its_features_determine():
    torch.manual_seed(0)
    decoder = DensePredictionDecoder(6, channels=16, num_layers_tapped=2, out_channels=1)
    features = maps(6, 6, grid=(4, 4), frames=4)
    target = nn.functional.interpolate(features[0][:, :1], size=(16, 16), mode="bilinear")
    optimizer = torch.optim.Adam(decoder.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = (decoder(features, (16, 16)) - target).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.25 * losses[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((8, 0, 2, 1), "channels .* 0"),
        ((8, 8, 0, 1), "num_layers_tapped .* 0"),
        ((8, 8, 2, -1), "out_channels .* -1"),
        (([8, 8, 8], 8, 2, 1), r"in_channels .* \[8, 8, 8\]"),
        ((0, 8, 2, 1), "in_channels .* 0"),
    ],
)
def test_a_bad_size_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        DensePredictionDecoder(*arguments)


@pytest.mark.parametrize(
    ("features", "size", "message"),
    [
        (maps(6), (8, 8), "1 maps, the decoder taps 2"),
        (maps(6, 5), (8, 8), r"feature_maps\[1\] .* \(2, 5, 3, 4\)"),
        ([maps(6)[0], maps(6, grid=(3, 3))[0]], (8, 8), r"feature_maps\[1\] is \(2, 6, 3, 3\)"),
        ([maps(6)[0], maps(6)[0].flatten(2)], (8, 8), r"feature_maps\[1\] .* \(2, 6, 12\)"),
        (maps(6, 6), (0, 8), r"output_size .* \(0, 8\)"),
    ],
)
def test_bad_feature_maps_are_named(features, size, message):
    with pytest.raises(ValueError, match=message):
        DensePredictionDecoder(6, 8, 2, 1)(features, size)
