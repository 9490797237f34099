import pytest

from serving.middleware import TICK_SECONDS, Lateness


class Loop:
    """A loop whose clock is set by the test, and which runs what is due when given how late it is."""

    def __init__(self):
        self.now, self.due, self.call = 100.0, 0.0, None

    def time(self):
        return self.now

    def call_at(self, due, call, *given):
        self.due, self.call = due, lambda: call(*given)

    def tick(self, late):
        self.now = self.due + late
        self.call()


@pytest.fixture
def loop(monkeypatch):
    made = Loop()
    monkeypatch.setattr("serving.middleware.asyncio.get_running_loop", lambda: made)
    return made


def test_two_late_ticks_running_are_a_queue_and_one_is_not(loop):
    lateness = Lateness()
    assert lateness.seconds() == 0.0
    assert loop.due == pytest.approx(100.0 + TICK_SECONDS)
    loop.tick(0.4)
    assert lateness.seconds() == 0.0
    loop.tick(0.3)
    assert lateness.seconds() == pytest.approx(0.3)
    loop.tick(0.001)
    assert lateness.seconds() < 0.01


def test_another_loop_starts_anew(loop, monkeypatch):
    lateness = Lateness()
    lateness.seconds()
    loop.tick(0.4)
    loop.tick(0.4)
    other = Loop()
    monkeypatch.setattr("serving.middleware.asyncio.get_running_loop", lambda: other)
    assert lateness.seconds() == 0.0
    assert other.call is not None
