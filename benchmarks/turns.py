"""Times candidates of one process in turns, so that other work on the machine slows all of them."""

import time
from collections.abc import Callable, Mapping


def take_turns(candidates: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Call every candidate once a round, A B A B ...; return the seconds of each call.

    What compiles has to be called before.
    """
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds
