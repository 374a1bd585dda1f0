"""Views of several sizes: each size once through the backbone where a method asks for it."""

import pytest
import torch
from learners import IMAGE_METHODS, begin, build_learner, dense_info_nce, info_nce, random_data

from dense_cl.errors import DenseCLError


def multi_crop(batch, sizes, seed=0):
    """Views of the given sizes, as collated."""
    data = random_data(batch)
    data["views"] = [
        random_data(batch, size=size, views=1, seed=seed + number)["views"][0]
        for number, size in enumerate(sizes)
    ]
    return data


def prepared(*objectives, batch=3):
    learner = build_learner(*objectives)
    begin(learner, random_data(batch + 8))
    return learner


def shapes_of_calls(learner):
    shapes = []
    learner.backbone.register_forward_hook(lambda _, args, __: shapes.append(args[0].shape))
    return shapes


@pytest.mark.parametrize("name", ["swav", "deepcluster_v2"])
def test_each_size_goes_once_through_the_backbone(name):
    learner = prepared({**IMAGE_METHODS[name], "num_views": 5})
    shapes = shapes_of_calls(learner)
    # Interleaved, so that it is not the order that keeps them apart.
    learner(**learner.data_preprocessor(multi_crop(3, [32, 16, 32, 16, 16]), True))
    assert [tuple(shape) for shape in shapes] == [(6, 3, 32, 32), (9, 3, 16, 16)]


def test_other_methods_keep_one_call_and_own_statistics_per_view():
    learner = prepared(info_nce(), IMAGE_METHODS["simclr"])
    shapes = shapes_of_calls(learner)
    learner(**learner.data_preprocessor(random_data(3), True))
    assert [shape[0] for shape in shapes] == [3, 3]


def test_features_are_those_of_the_concatenated_batch():
    objective = {**IMAGE_METHODS["swav"], "num_views": 4}
    learner = prepared(objective, dense_info_nce())
    views = learner.data_preprocessor(multi_crop(3, [32, 16, 32, 16]), True)["views"]
    online = learner.encode(views).online
    assert list(online) == [0, 1, 2, 3]
    for members in ((0, 2), (1, 3)):
        whole = learner.backbone(torch.cat([views[v].image for v in members]))[-1]
        torch.testing.assert_close(torch.cat([online[v].last for v in members]), whole)
        for v in members:
            assert online[v].view is views[v]


def test_gradients_are_those_of_the_concatenated_batch():
    learner = prepared({**IMAGE_METHODS["swav"], "num_views": 3})
    views = learner.data_preprocessor(multi_crop(3, [32, 16, 16]), True)["views"]
    weight = learner.backbone.first[0].weight
    online = learner.encode(views).online
    (mine,) = torch.autograd.grad(sum(f.pooled.square().sum() for f in online.values()), weight)
    calls = (views[0].image, torch.cat([views[1].image, views[2].image]))
    pooled = [learner.backbone(image)[-1].mean(dim=(2, 3)) for image in calls]
    (expected,) = torch.autograd.grad(sum(p.square().sum() for p in pooled), weight)
    torch.testing.assert_close(mine, expected)


def test_too_few_views_are_named_also_before_training():
    learner = build_learner({**IMAGE_METHODS["deepcluster_v2"], "num_views": 5})
    learner.prepare(num_images=8, seed=0)
    with pytest.raises(DenseCLError, match="need 2 views of every image, the data give 1"):
        learner.observe(random_data(3, views=1))
    with pytest.raises(DenseCLError, match="need 5 views of every image, the data give 2"):
        learner(**learner.data_preprocessor(random_data(3), True))
