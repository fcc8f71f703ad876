import torch
import torch.nn.functional as F

from mien_train.losses import affect_loss, soft_cross_entropy


def test_soft_cross_entropy_is_torchs_on_rows_with_a_label() -> None:
    logits, target = torch.randn(6, 8), torch.rand(6, 8).softmax(1)
    expected = F.cross_entropy(logits[:4], target[:4])
    target[4:] = torch.nan
    logits.requires_grad_()
    loss = soft_cross_entropy(logits, target)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[4:].abs().sum() == 0


def test_batches_without_a_label_cost_nothing_and_give_no_nan() -> None:
    logits = torch.randn(3, 8, requires_grad=True)
    affect = torch.randn(3, 2, requires_grad=True)
    nothing = torch.full((3, 8), torch.nan)
    loss = soft_cross_entropy(logits, nothing) + affect_loss(affect, nothing[:, :2])
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_affect_loss_falls_to_zero_at_the_truth() -> None:
    truth = torch.tensor([[0.5, -0.5], [torch.nan, torch.nan]])
    made = torch.tensor([[0.5, -0.5], [9.0, 9.0]])
    assert affect_loss(made, truth) == 0
    assert affect_loss(made + 0.1, truth) > 0
