"""Grad-CAM and CAST's attention loss against the authors' code, and its edges."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from dense_cl.losses.attention import attention_loss, grad_cam, saliency_on_cells
from dense_cl.losses.info_nce import info_nce, unit
from dense_cl.models.grad_cam import score_grad_cam

CASES = ("cast_gradcam_1", "cast_gradcam_2")
PARTS = ("conv1_weight", "conv1_bias", "layer4_weight", "layer4_bias", "fc_weight", "fc_bias")


def network(weights, image):
    """The feature map and the raw embedding of the reference's tiny network."""
    first_weight, first_bias, weight, bias, fc_weight, fc_bias = weights
    hidden = F.relu(F.conv2d(image, first_weight, first_bias, stride=2, padding=1), inplace=True)
    features = F.conv2d(hidden, weight, bias, stride=2, padding=1)
    return features, F.linear(features.mean(dim=(2, 3)), fc_weight, fc_bias)


class Reference:
    """A reference case run through our functions."""

    def __init__(self, golden, released):
        arrays = {k: torch.from_numpy(v) for k, v in golden.items()}
        self.expected = arrays
        self.weights = [arrays[f"query_net_{part}"].requires_grad_() for part in PARTS]
        key_weights = [arrays[f"key_net_{part}"] for part in PARTS]
        key_image = arrays["images_key"]
        self.map, query = network(self.weights, arrays["images_query"])
        key = network(key_weights, key_image)[1]
        masked = network(key_weights, key_image * arrays["key_saliency_mask"])[1]
        score = (unit(query) * unit(masked)).sum(dim=1)
        self.signed = score_grad_cam(score, self.map, create_graph=True)
        self.terms = attention_loss(
            self.signed, arrays["query_mask_at_map_size"], released_code=released
        )
        contrast = info_nce(query, key, arrays["queue"].T, float(arrays["temperature"])).loss
        alpha, beta = arrays["alpha_masked"], arrays["beta"]
        self.total = (beta * contrast + alpha * self.terms.loss) / (alpha + beta)

    def gradients(self, loss):
        found = torch.autograd.grad(loss, self.weights, retain_graph=True, allow_unused=True)
        pairs = zip(found, self.weights, strict=True)
        return [g if g is not None else torch.zeros_like(w) for g, w in pairs]


@pytest.mark.parametrize("case", CASES)
def test_papers_map_loss_and_gradient(golden, case):
    run = Reference(golden(case), released=False)
    near = dict(rtol=1e-8, atol=1e-13)
    torch.testing.assert_close(run.signed, run.expected["expected_gradcam_raw_signed"], **near)
    torch.testing.assert_close(
        run.terms.map_BHW, run.expected["expected_paper_gradcam_relu"], **near
    )
    each = [
        attention_loss(run.signed[n : n + 1], run.expected["query_mask_at_map_size"][n : n + 1])
        for n in range(len(run.signed))
    ]
    torch.testing.assert_close(
        torch.stack([terms.loss for terms in each]),
        run.expected["expected_paper_attention_loss_per_sample"],
        **near,
    )
    torch.testing.assert_close(
        run.terms.loss, run.expected["expected_paper_attention_loss_mean"], **near
    )
    torch.testing.assert_close(run.total, run.expected["expected_paper_total_loss"], **near)
    for part, gradient in zip(PARTS, run.gradients(run.terms.loss), strict=True):
        expected = run.expected[f"expected_paper_attention_grad_query_net_{part}"]
        torch.testing.assert_close(gradient, expected, **near, msg=part)


@pytest.mark.parametrize("case", CASES)
def test_released_map_loss_and_gradients(golden, case):
    run = Reference(golden(case), released=True)
    near = dict(rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(run.terms.map_BHW, run.expected["expected_released_gradcam"], **near)
    torch.testing.assert_close(
        run.terms.loss, run.expected["expected_released_attention_loss"], **near
    )
    torch.testing.assert_close(run.total, run.expected["expected_released_total_loss"], **near)
    for kind, loss in (("attention", run.terms.loss), ("total", run.total)):
        for part, gradient in zip(PARTS, run.gradients(loss), strict=True):
            expected = run.expected[f"expected_released_{kind}_grad_query_net_{part}"]
            # Their 1e-7 is added to scores that are divided by the temperature, and twice.
            atol = 1e-5 * float(expected.abs().max())
            torch.testing.assert_close(gradient, expected, rtol=0, atol=atol, msg=part)


@pytest.mark.parametrize("case", ["cast_crop_cover_1", "cast_crop_cover_2"])
def test_released_saliency_on_cells(golden, case):
    arrays = golden(case)
    mask = torch.from_numpy(arrays["resize_input_mask"]).double()
    found = saliency_on_cells(mask[None], (7, 7), released_code=True)[0]
    assert torch.equal(found, torch.from_numpy(arrays["expected_mask_7x7_align_corners"]))


def test_a_small_object_is_on_some_cell_but_between_the_released_samples():
    saliency = torch.zeros(1, 30, 30, dtype=torch.bool)
    saliency[0, 13:15, 13:15] = True  # 4 pixels inside the middle cell of 10 x 10
    cells = saliency_on_cells(saliency, (3, 3))
    expected = torch.zeros(1, 3, 3)
    expected[0, 1, 1] = 4 / 100
    torch.testing.assert_close(cells, expected)
    saliency[0, 14:15, 14:15] = False
    far = torch.zeros(1, 30, 30, dtype=torch.bool)
    far[0, 5:8, 5:8] = True  # the released samples are at 0, 14.5 and 29
    assert saliency_on_cells(far, (3, 3)).max() == pytest.approx(0.09)
    assert saliency_on_cells(far, (3, 3), released_code=True).max() == 0


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**31))
def test_share_of_salient_pixels_is_kept_where_cells_fit(rows, columns, seed):
    saliency = torch.rand(2, 4 * rows, 3 * columns, generator=torch.Generator().manual_seed(seed))
    cells = saliency_on_cells(saliency.double(), (rows, columns))
    torch.testing.assert_close(cells.mean(dim=(1, 2)), saliency.double().mean(dim=(1, 2)))


@pytest.mark.parametrize("released", [False, True])
def test_gradcheck(released):
    """Through both derivatives: of the score, and of the loss on its gradient."""
    weights = torch.randn(5, 4, dtype=torch.float64)
    target = unit(torch.randn(3, 5, dtype=torch.float64))
    saliency = torch.rand(3, 4, 4, dtype=torch.float64)

    def loss(features):
        features = features * 1.0
        vectors = torch.tanh(features.mean(dim=(2, 3))) @ weights.T
        score = (unit(vectors) * target).sum(dim=1)
        signed = score_grad_cam(score, features, create_graph=True)
        return attention_loss(signed, saliency, released_code=released).loss

    features = torch.randn(3, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (features,))


def test_closed_form():
    """Grad-CAM of the sum of two channels' means; a map that is its mask has no loss."""
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, -9.0]]]], requires_grad=True)
    score = features[:, 0].mean(dim=(1, 2)) + 2 * features[:, 1].mean(dim=(1, 2))
    signed = score_grad_cam(score, features)
    torch.testing.assert_close(signed, torch.tensor([[[0.5 + 3.0, 1.0 - 9.0]]]))
    assert attention_loss(signed, torch.tensor([[[1.0, 0.0]]])).loss == 0
    assert attention_loss(signed, torch.tensor([[[0.0, 1.0]]])).loss == 1
    both = attention_loss(signed, torch.tensor([[[1.0, 1.0]]])).loss
    torch.testing.assert_close(both, torch.tensor(1 - 0.5**0.5))


@given(st.floats(1e-4, 1e4), st.floats(0.01, 1.0), st.integers(0, 2**31))
def test_the_scale_of_map_and_saliency_does_not_matter(by, strength, seed):
    generator = torch.Generator().manual_seed(seed)
    signed, saliency = (
        torch.randn(3, 4, 5, generator=generator, dtype=torch.float64) for _ in range(2)
    )
    expected = attention_loss(signed, saliency.abs()).loss
    found = attention_loss(signed * by, saliency.abs() * strength).loss
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("released", [False, True])
def test_what_shows_nothing_salient_has_no_say(released):
    signed = torch.randn(5, 3, 3, dtype=torch.float64, requires_grad=True)
    saliency = torch.rand(5, 3, 3, dtype=torch.float64)
    saliency[1] = 0
    counts = torch.tensor([True, True, True, False, True])
    terms = attention_loss(signed, saliency, counts, released_code=released)
    rest = [0, 2, 4]
    expected = attention_loss(signed[rest], saliency[rest], released_code=released).loss
    torch.testing.assert_close(terms.loss, expected)
    assert terms.counted_B.tolist() == [True, False, True, False, True]
    terms.loss.backward()
    assert (signed.grad[[1, 3]] == 0).all() and (signed.grad[rest] != 0).any()
    signed.grad = None
    nothing = attention_loss(signed, 0 * saliency, released_code=released)
    nothing.loss.backward()
    assert nothing.loss == 0 and (signed.grad == 0).all()


def test_a_map_without_positive_places_has_loss_one_and_no_gradient():
    signed = -torch.rand(2, 3, 3) - 0.1
    signed[1, 0, 0] = 2.0
    signed.requires_grad_()
    terms = attention_loss(signed, torch.ones(2, 3, 3))
    torch.testing.assert_close(terms.loss, torch.tensor((1 + 1 - 1 / 3) / 2))
    terms.loss.backward()
    assert signed.grad.isfinite().all() and (signed.grad[0] == 0).all()


def test_half_precision_maps_are_summed_in_float32():
    features, gradient = torch.rand(2, 64, 5, 5), torch.rand(2, 64, 5, 5) * 1e-4
    expected = grad_cam(features, gradient)
    for dtype in (torch.bfloat16, torch.float16):
        found = grad_cam(features.to(dtype), gradient.to(dtype))
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=1e-2, atol=0)
