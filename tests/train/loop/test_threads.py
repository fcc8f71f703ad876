import pytest
import torch

from mien.errors import InputError
from mien_train.loop.threads import use_threads


def test_threads_are_set_only_where_a_number_is_given() -> None:
    before = torch.get_num_threads()
    try:
        use_threads(1)
        use_threads(None)
        assert torch.get_num_threads() == 1
        for wrong in (0, -2):
            with pytest.raises(InputError, match=f"threads is {wrong}"):
                use_threads(wrong)
    finally:
        torch.set_num_threads(before)
