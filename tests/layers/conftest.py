import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread_one_seed():
    """Small tensors run fastest on one thread; every test starts from the same random numbers."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
