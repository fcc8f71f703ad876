import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mien.errors import InputError
from mien_train.data.batches import Sample
from mien_train.evaluation.metrics import concordance
from mien_train.losses.bound import bounded_affect_loss, teacher_bound
from mien_train.losses.concordance import concordance_loss
from mien_train.losses.distillation import distillation_loss
from mien_train.losses.features import FeatureHint
from mien_train.losses.labels import affect_loss, soft_cross_entropy
from mien_train.models.student import StudentOutput
from mien_train.recipe import DistillRecipe, Recipe
from mien_train.settings import build
from mien_train.supervised.objective import Objective

NAN = float("nan")


def softmax(values: np.ndarray) -> np.ndarray:
    made = np.exp(values - values.max(1, keepdims=True))
    return made / made.sum(1, keepdims=True)


def cross_entropy(target: np.ndarray, made: np.ndarray) -> float:
    return float(-(target * np.log(made)).sum(1).mean())


@pytest.fixture
def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Logits of a student, soft labels and logits of a teacher for six faces."""
    generator = torch.Generator().manual_seed(0)
    student, labels, teacher = (3 * torch.randn(6, 8, generator=generator) for _ in range(3))
    return student.requires_grad_(), labels.softmax(1), teacher


def test_soft_cross_entropy_is_torchs_on_rows_with_a_label(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    logits, target, _ = batch
    expected = F.cross_entropy(logits[:4], target[:4])
    target[4:] = NAN
    loss = soft_cross_entropy(logits, target)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[4:].abs().sum() == 0


def test_batches_without_a_label_cost_nothing_and_give_no_nan() -> None:
    logits = torch.randn(3, 8, requires_grad=True)
    affect = torch.randn(3, 2, requires_grad=True)
    nothing = torch.full((3, 8), NAN)
    loss = soft_cross_entropy(logits, nothing) + affect_loss(affect, nothing[:, :2])
    loss = loss + distillation_loss(logits, nothing, nothing, alpha=0.5, temperature=2.0)
    loss = loss + bounded_affect_loss(affect, nothing[:, :2], nothing[:, :2], margin=0.0, nu=0.5)
    loss.backward()
    assert loss.item() == 0
    for given in (logits, affect):
        assert given.grad is not None
        assert (given.grad == 0).all()


def test_affect_loss_falls_to_zero_at_the_truth() -> None:
    truth = torch.tensor([[0.5, -0.5], [NAN, NAN]])
    made = torch.tensor([[0.5, -0.5], [9.0, 9.0]])
    assert affect_loss(made, truth) == 0
    assert affect_loss(made + 0.1, truth) > 0


@pytest.mark.parametrize(("alpha", "temperature"), [(0.5, 2.0), (0.3, 4.0), (1.0, 1.0), (0.0, 2.0)])
def test_distillation_is_the_formula(batch: tuple[Tensor, Tensor, Tensor], alpha: float, temperature: float) -> None:
    z, y, t = (part.detach().double().numpy() for part in batch)
    soft = cross_entropy(softmax(t / temperature), softmax(z / temperature))
    expected = (1 - alpha) * cross_entropy(y, softmax(z)) + 2 * alpha * temperature**2 * soft
    made = distillation_loss(*batch, alpha=alpha, temperature=temperature)
    assert made.item() == pytest.approx(expected, rel=1e-5)


def test_rows_learn_from_what_they_have(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    """Rows 0-2 have both, 3 and 4 the label alone (with its whole weight), 5 the teacher alone."""
    logits, target, taught = batch
    target[5], taught[3:5] = NAN, NAN
    z, y, t = (part.detach().double().numpy() for part in batch)
    hard = [-(y[i] * np.log(softmax(z)[i])).sum() for i in range(5)]
    both = [0, 1, 2, 5]
    soft = cross_entropy(softmax(t[both] / 2), softmax(z[both] / 2))
    expected = (0.3 * sum(hard[:3]) + sum(hard[3:])) / 5 + 2 * 0.7 * 4 * soft
    loss = distillation_loss(*batch, alpha=0.7, temperature=2.0)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert (logits.grad.abs().sum(1) > 0).all()


def test_a_class_that_the_teacher_does_not_know_is_left_to_the_label(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    logits, target, taught = batch
    taught[:, 7] = NAN
    loss = distillation_loss(logits, torch.full_like(target, NAN), taught, alpha=1.0, temperature=2.0)
    z, t = logits[:, :7].detach().double().numpy(), taught[:, :7].double().numpy()
    assert loss.item() == pytest.approx(2 * 4 * cross_entropy(softmax(t / 2), softmax(z / 2)), rel=1e-5)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert (logits.grad[:, 7] == 0).all()
    assert (logits.grad[:, :7].abs().sum(0) > 0).all()


def test_the_bound_charges_a_student_only_until_it_beats_the_teacher_by_the_margin() -> None:
    truth, teacher = torch.tensor([[0.5, -0.2]]), torch.tensor([[0.1, 0.1]])  # squared distance 0.25
    for far, margin, expected in (
        (0.6, 0.0, 0.36),  # worse than the teacher
        (0.4, 0.0, 0.0),  # better
        (0.4, 0.1, 0.16),  # better, by less than the margin
        (0.3, 0.1, 0.0),  # 0.09 + 0.1 is less than 0.25
    ):
        made = (truth + torch.tensor([[far, 0.0]])).requires_grad_()
        bound = teacher_bound(made, truth, teacher, margin)
        assert bound.item() == pytest.approx(expected, abs=1e-6)
        bound.backward()
        assert made.grad is not None
        torch.testing.assert_close(made.grad, torch.tensor([[2 * far if expected else 0.0, 0.0]]))


def test_regression_is_smooth_l1_and_the_bound_and_follows_the_teacher_without_a_human() -> None:
    made = torch.tensor([[0.9, 0.0], [0.0, 0.0], [0.3, 0.3]], requires_grad=True)
    human = torch.tensor([[0.0, 0.0], [NAN, NAN], [NAN, NAN]])
    teacher = torch.tensor([[0.1, 0.0], [0.5, -0.5], [NAN, NAN]])
    # Smooth L1 with beta 0.25 is |d| - 0.125 above it: row 0 toward the human, row 1 toward the teacher, row 2 free.
    expected = ((0.9 - 0.125) + 2 * (0.5 - 0.125)) / 2 + 0.5 * 0.81
    loss = bounded_affect_loss(made, human, teacher, margin=0.0, nu=0.5)
    assert loss.item() == pytest.approx(expected)
    loss.backward()
    assert made.grad is not None
    assert made.grad[0, 0] > 0  # down to the human's 0
    assert (made.grad[1].sign() == torch.tensor([-1.0, 1.0])).all()  # to the teacher's 0.5, -0.5
    assert (made.grad[2] == 0).all()


def test_a_teacher_of_valence_alone_says_nothing_of_arousal() -> None:
    made = torch.tensor([[0.0, 0.9]], requires_grad=True)
    bounded_affect_loss(made, torch.full((1, 2), NAN), torch.tensor([[0.5, NAN]]), margin=0.0, nu=0.5).backward()
    assert made.grad is not None
    assert made.grad[0, 1] == 0


def test_hint_is_charged_for_the_angle_and_learns_the_map() -> None:
    torch.manual_seed(0)
    hint = FeatureHint(6, 4)
    embedding = torch.randn(64, 6)
    taught = 5 * embedding @ torch.randn(6, 4)
    assert hint(embedding, hint.map(embedding) * 7).item() == pytest.approx(0, abs=1e-5)  # length is no matter
    assert hint(embedding, -hint.map(embedding)).item() == pytest.approx(2, abs=1e-5)
    partly = taught.clone()
    partly[10:] = NAN
    torch.testing.assert_close(hint(embedding, partly), hint(embedding[:10], taught[:10]))
    optimizer = torch.optim.Adam(hint.parameters(), 0.05)
    first = hint(embedding, partly).item()
    for _ in range(200):
        optimizer.zero_grad()
        hint(embedding, partly).backward()
        optimizer.step()
    assert hint(embedding, taught).item() < 0.1 * first  # the rows that it has not seen too


def sample(taught: Tensor) -> tuple[StudentOutput, Sample]:
    generator = torch.Generator().manual_seed(1)
    logits, affect, embedding = (torch.randn(4, n, generator=generator) for n in (8, 2, 6))
    target = torch.eye(8)[:4]
    target[3] = NAN
    human = torch.full((4, 2), NAN)
    human[0] = 0.2
    blank = torch.zeros((4, 32, 32, 3), dtype=torch.uint8)
    output = StudentOutput(logits.requires_grad_(), affect.requires_grad_(), embedding, torch.ones(4, 1))
    return output, Sample(blank, target, human, taught, taught[:, :2] / 9, torch.randn(4, 5, generator=generator))


def test_the_objective_is_the_sum_that_the_recipe_weighs() -> None:
    taught = 2 * torch.randn(4, 8, generator=torch.Generator().manual_seed(2))
    output, batch = sample(taught)

    def objective(**distill: object) -> Objective:
        recipe = build(Recipe, {"crop": {"size": 32}, "optim": {"affect_weight": 0.7}, "distill": distill})
        return Objective(recipe, 6, embedding=5)

    plain = objective()(output, batch)
    expected = soft_cross_entropy(output.logits, batch.target) + 0.7 * affect_loss(output.affect, batch.affect)
    torch.testing.assert_close(plain["loss"], expected)

    how = DistillRecipe()
    classes = distillation_loss(output.logits, batch.target, taught, alpha=how.alpha, temperature=how.temperature)
    regression = bounded_affect_loss(output.affect, batch.affect, batch.taught_affect, margin=how.margin, nu=how.nu)
    torch.testing.assert_close(objective(teacher="t.pt")(output, batch)["loss"], classes + 0.7 * regression)
    without = objective(teacher="t.pt", affect=False)(output, batch)["loss"]
    torch.testing.assert_close(without, classes + 0.7 * affect_loss(output.affect, batch.affect))
    hinted = objective(teacher="t.pt", features=3.0)
    made = hinted(output, batch)
    torch.testing.assert_close(made["loss"], classes + 0.7 * regression + 3 * made["features"])
    assert 0 < made["features"] < 2
    assert len(list(hinted.parameters())) == 2
    with pytest.raises(InputError, match="gives no features"):
        Objective(build(Recipe, {"crop": {"size": 32}, "distill": {"teacher": "t.pt", "features": 1.0}}), 6)


def test_the_concordance_loss_is_one_less_the_figure_and_has_a_gradient_everywhere() -> None:
    truth = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (5000, 2)).astype(np.float32))
    predicted = (0.6 * truth + 0.1).requires_grad_()
    figure = concordance(predicted.detach().numpy(), truth.numpy()).mean()
    loss = concordance_loss(predicted, truth)
    assert loss.item() == pytest.approx(1 - figure, abs=1e-4)
    still = torch.zeros_like(truth, requires_grad=True)
    concordance_loss(still, truth).backward()
    assert still.grad is not None
    assert torch.isfinite(still.grad).all()
