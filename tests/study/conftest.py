import pytest


@pytest.fixture(autouse=True)
def own_seeds(monkeypatch):
    """The course's own, of which the stored results are."""
    monkeypatch.delenv("MOE_SEED", raising=False)
