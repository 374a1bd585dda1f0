"""SwAV and DeepCluster-v2 as objectives: what they compare, remember and refuse."""

import pytest
import torch
import torch.nn.functional as F
from learners import IMAGE_METHODS, begin, build_learner, random_data
from mmengine.optim import OptimWrapper

from dense_cl.engine.lars import LARS
from dense_cl.errors import DenseCLError
from dense_cl.losses.cluster_prediction import IGNORED
from dense_cl.losses.sinkhorn import sinkhorn
from dense_cl.losses.spherical_kmeans import spherical_kmeans
from dense_cl.objectives.clustering import similarities

OPTIMISERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
    "lars": lambda p: LARS(p, lr=1.0, weight_decay=1e-2),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=0.5),
}


def build(name, **options):
    learner = build_learner({**IMAGE_METHODS[name], **options}, target=None)
    return learner, learner.objectives[name]


def losses_of(learner, data):
    return learner(**learner.data_preprocessor(data, True))


def embeddings_of(learner, objective, data):
    """(V, B, D), the head on all views at once."""
    images = [view.image for view in learner.data_preprocessor(data, True)["views"]]
    raw = objective.head(learner.backbone(torch.cat(images))[-1])
    return F.normalize(raw, dim=1).reshape(len(images), len(images[0]), -1)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_prototypes_are_frozen_then_move_and_stay_unit(optimiser):
    learner, swav = build("swav", freeze_steps=3)
    wrapper = OptimWrapper(OPTIMISERS[optimiser](learner.parameters()))
    start = F.normalize(swav.prototypes.weight.detach(), dim=1)  # was float32's unit
    for step in range(5):
        learner.train_step(random_data(8, seed=step), wrapper)
        lengths = swav.prototypes.weight.detach().norm(dim=1)
        torch.testing.assert_close(lengths, torch.ones_like(lengths))
        moved = (swav.prototypes.weight.detach() - start).abs().max()
        assert moved < 1e-14 if step < 3 else moved > 1e-5


def test_swav_by_hand_with_a_queue():
    """Three batches; the queue of five fills after two, and counts in the third."""
    learner, swav = build("swav", queue_size=5, freeze_steps=0, epsilon=0.5)
    wrapper = OptimWrapper(torch.optim.SGD(learner.parameters(), lr=0.1))
    older = [torch.zeros(0, 8), torch.zeros(0, 8)]
    without_queue = None
    for step in range(3):
        data = random_data(4, seed=step)
        z = embeddings_of(learner, swav, data).detach()
        prototypes = swav.prototypes.weight.detach()
        expected, without_queue = torch.zeros(()).double(), torch.zeros(()).double()
        for a in (0, 1):
            log_p = ((z[1 - a] @ prototypes.T) / 0.1).log_softmax(dim=1)
            rows = torch.cat([older[a][-5:].double(), z[a]]) if len(older[a]) >= 5 else z[a]
            q = sinkhorn(rows @ prototypes.T, 0.5, 3)[-4:]
            expected -= (q * log_p).sum(dim=1).mean() / 2
            q = sinkhorn(z[a] @ prototypes.T, 0.5, 3)
            without_queue -= (q * log_p).sum(dim=1).mean() / 2
            older[a] = torch.cat([older[a], z[a]])
        loss = learner.train_step(data, wrapper)["swav"]
        torch.testing.assert_close(loss, expected)
        assert torch.isclose(loss, without_queue, rtol=1e-9) == (step < 2)
    kept = swav.queue.keys.unflatten(1, (2, 8))
    newest = torch.stack([o[-5:] for o in older], dim=1)
    order = (torch.arange(5) + 12) % 5
    torch.testing.assert_close(kept[order], newest)


def test_the_queue_begins_when_it_should():
    learner, swav = build("swav", queue_size=20, queue_start=2)
    wrapper = OptimWrapper(torch.optim.SGD(learner.parameters(), lr=0.1))
    filled = []
    for step in range(4):
        learner.train_step(random_data(4, seed=step), wrapper)
        filled.append(int(swav.queue.filled))
    assert filled == [0, 0, 4, 8]


def test_scores_keep_their_digits_under_autocast():
    embedding, prototypes = torch.randn(2, 4, 8), torch.randn(6, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = similarities(embedding, prototypes)
        assert not torch.equal(embedding @ prototypes.T, scores)  # what autocast would do
    assert torch.equal(scores, embedding @ prototypes.T)


def test_memory_holds_the_embeddings_and_gives_the_clusters():
    learner, deep = build("deepcluster_v2")
    data = random_data(9)
    begin(learner, data, num_images=11)
    expected = embeddings_of(learner, deep, data).detach()
    torch.testing.assert_close(deep.memory[:, :9], expected)
    assert (deep.memory[:, 9:] == 0).all()
    assert (deep.assignments[:, 9:] == IGNORED).all()
    for head, centroids in enumerate(deep.centroids.split([3, 2, 4])):
        points = expected[head % 2]
        assignments, _ = spherical_kmeans(points, centroids, 0)
        assert torch.equal(deep.assignments[head, :9], assignments)
        for cluster in assignments.unique():
            mean = F.normalize(points[assignments == cluster].mean(dim=0), dim=0)
            torch.testing.assert_close(centroids[cluster], mean)


def test_training_replaces_embeddings_and_leaves_the_clusters_of_the_epoch():
    learner, deep = build("deepcluster_v2")
    begin(learner, random_data(8))
    before = {name: value.clone() for name, value in deep.named_buffers(recurse=False)}
    data = random_data(4, seed=1)
    data["index"] = torch.tensor([6, 1, 4, 3])
    expected = embeddings_of(learner, deep, data).detach()
    losses_of(learner, data)
    assert torch.equal(deep.memory, before["memory"])  # the forward pass leaves no trace
    learner.after_train_step(optimizer_stepped=True)
    torch.testing.assert_close(deep.memory[:, data["index"]], expected)
    others = [0, 2, 5, 7]
    assert torch.equal(deep.memory[:, others], before["memory"][:, others])
    for name in ("assignments", "centroids"):
        assert torch.equal(getattr(deep, name), before[name])


def test_images_without_a_cluster_do_not_train():
    learner, deep = build("deepcluster_v2")
    begin(learner, random_data(8), num_images=12)
    data = random_data(4, seed=1)
    data["index"] = torch.arange(8, 12)
    terms = losses_of(learner, data)
    terms["loss_deepcluster_v2"].backward()
    assert terms["deepcluster_v2"] == 0
    assert all((p.grad == 0).all() for p in learner.parameters())
    learner.after_train_step(optimizer_stepped=True)
    learner.before_epoch(1)
    assert (deep.assignments != IGNORED).all()


def test_clusters_depend_on_seed_and_epoch_and_on_no_other_chance():
    learner, deep = build("deepcluster_v2", num_clusters=(7,), kmeans_iterations=0)
    begin(learner, random_data(30))
    starts = {}
    for seed, epoch in ((0, 0), (0, 1), (1, 0)):
        deep.seed = seed
        learner.before_epoch(epoch)
        starts[seed, epoch] = deep.centroids.clone()
    deep.seed = 0
    torch.manual_seed(77)
    learner.before_epoch(0)
    assert torch.equal(deep.centroids, starts[0, 0])
    assert not torch.equal(starts[0, 0], starts[0, 1])
    assert not torch.equal(starts[0, 0], starts[1, 0])


def test_state_dict_carries_everything_to_a_new_learner():
    learner, _ = build("deepcluster_v2")
    begin(learner, random_data(8))
    learner.train_step(random_data(8), OptimWrapper(torch.optim.SGD(learner.parameters(), lr=0.1)))
    other, _ = build("deepcluster_v2")
    other.prepare(num_images=8, seed=0)
    other.load_state_dict(learner.state_dict())
    data = random_data(8, seed=2)
    assert torch.equal(
        losses_of(other, data)["loss_deepcluster_v2"].detach(),
        losses_of(learner, data)["loss_deepcluster_v2"].detach(),
    )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("swav", {"num_views": 1}, "num_views=1"),
        ("swav", {"num_assign_views": 3}, "num_assign_views=3"),
        ("swav", {"epsilon": 0.0}, "epsilon=0.0"),
        ("deepcluster_v2", {"num_clusters": ()}, r"num_clusters=\[\]"),
        ("deepcluster_v2", {"num_clusters": (3, 1)}, r"num_clusters=\[3, 1\]"),
    ],
)
def test_refuses_to_be_built(name, options, message):
    with pytest.raises(DenseCLError, match=message):
        build(name, **options)


def test_refuses_data_that_cannot_be_clustered():
    learner, _ = build("deepcluster_v2")
    with pytest.raises(DenseCLError, match="call Learner.prepare"):
        losses_of(learner, random_data(4))
    with pytest.raises(DenseCLError, match="which a stream does not"):
        learner.prepare(num_images=None, seed=0)
    with pytest.raises(DenseCLError, match="has 3 images. Lower num_clusters"):
        learner.prepare(num_images=3, seed=0)
    learner.prepare(num_images=8, seed=0)
    learner.observe(random_data(3))
    with pytest.raises(DenseCLError, match="only 3 images"):
        learner.before_epoch(0)
