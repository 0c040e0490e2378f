"""Progress in logs: a line at each note, or lines that get rarer over time."""

from itertools import pairwise

from cli.lines import FIRST, LONGEST, LineBar


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def bar(total=100, done=0, **options):
    lines, clock = [], Clock()
    return LineBar("extract", total, done, lines.append, clock=clock, **options), lines, clock


def test_short_work_prints_no_line():
    shown, lines, clock = bar()
    for _ in range(9):
        clock.now += 1
        shown.advance()
    shown.close()
    assert lines == []


def test_long_work_prints_lines_with_count_speed_and_remaining_time():
    shown, lines, clock = bar(total=40, done=20)
    clock.now += FIRST
    shown.advance(5, note="dino")
    clock.now += FIRST - 1
    shown.advance(5)
    shown.close()
    assert lines == [
        "extract: 25 of 40 (62 %), dino, 0.5/s, 0:00:10 elapsed, 0:00:30 left",
        "extract: 30 of 40 (75 %), dino, 0.526/s, 0:00:19 elapsed, 0:00:19 left",
    ]


def test_lines_get_rarer_but_never_stop_for_long():
    shown, lines, clock = bar(total=10**9)
    times = []
    for _ in range(36_000):
        clock.now += 1
        before = len(lines)
        shown.advance()
        times += [clock.now] * (len(lines) - before)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps[0] == FIRST
    assert gaps == sorted(gaps)
    assert max(gaps) <= LONGEST + 1
    assert len(lines) < 150


def test_the_last_count_is_printed_once():
    shown, lines, clock = bar(total=2)
    clock.now += 2 * FIRST
    shown.advance()
    clock.now += 1
    shown.advance()
    shown.close()
    shown.close()
    assert [line.partition(" (")[0] for line in lines] == ["extract: 1 of 2", "extract: 2 of 2"]
    assert lines[-1].endswith("0:00:21 elapsed")


def test_a_training_prints_a_line_at_each_note():
    shown, lines, clock = bar(at_notes=True)
    shown.advance(note="loss 1.0")
    clock.now += 100
    shown.advance()
    shown.advance(0, note="best val mIoU 25.00")
    clock.now += 100
    shown.advance(note="loss 0.5")
    shown.close()
    assert lines == [
        "extract: 1 of 100 (1 %), loss 1.0",
        "extract: 3 of 100 (3 %), loss 0.5, 0.015/s, 0:03:20 elapsed, 1:47:47 left",
    ]
