"""The remaining time of the demo follows from measured progress."""

import pytest

from mmdecouple.demo.progress import Overall, Stage
from mmdecouple.utils.progress import in_words

STAGES = [Stage('training', 6), Stage('measuring', 3), Stage('report', 1)]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def run_stage(overall, clock, name, seconds, start, seen):
    """A stage that takes `start` seconds before its first step, and reports a hundred steps."""
    overall.begin(name)
    seen.append((clock.now, overall.seconds_left(), overall.headline()))
    clock.now += start
    for step in range(101):
        overall.update(step / 100)
        seen.append((clock.now, overall.seconds_left(), overall.headline()))
        clock.now += (seconds - start) / 100 if step < 100 else 0


@pytest.mark.parametrize('speed', [0.5, 1, 20])
def test_a_machine_of_any_speed_gets_an_honest_estimate_after_a_few_steps(clock, speed):
    overall, seen = Overall(STAGES, clock=clock), []
    for stage in STAGES:
        run_stage(overall, clock, stage.name, 60 * stage.weight * speed, 5, seen)
    whole = clock.now
    known = [(now, left) for now, left, _ in seen if left is not None]
    assert len(known) >= len(seen) - 2
    assert all(abs(now + left - whole) <= 0.06 * whole for now, left in known)
    percents = [int(line.split(', ')[1].split()[0]) for *_, line in seen]
    assert percents == sorted(percents) and percents[0] == 0 and percents[-1] == 99


def test_the_line_counts_the_stages_and_says_nothing_that_it_does_not_know(clock):
    overall = Overall(STAGES, before=1, clock=clock)
    overall.begin('training')
    assert overall.headline() == '[2/4] training, 0 %, measuring the time'
    for share in (0.0, 0.25):
        overall.update(share)
        clock.now += 60
    clock.now -= 60
    assert overall.headline().startswith('[2/4] training, 15 %, about 6 min left')


def test_reused_runs_and_resumed_shares_are_not_taken_for_speed(clock):
    overall = Overall(STAGES, clock=clock)
    overall.begin('training')
    overall.begin('measuring')
    overall.update(0.5)
    clock.now += 30
    overall.update(0.75)
    # 30 s for the rest, and 1/3 of two minutes of measuring for the report.
    assert overall.seconds_left() == pytest.approx(30 + 40)


@pytest.mark.parametrize(
    'seconds, words',
    [(2, 'about 10 s'), (61, 'about 60 s'), (100, 'about 2 min'), (1500, 'about 25 min'), (12000, 'about 3 h 20 min')],
)
def test_durations_are_rounded_for_readers(seconds, words):
    assert in_words(seconds) == words
