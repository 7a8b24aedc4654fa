"""From a list of files to scores in a database, on this machine or on a cluster."""

from __future__ import annotations

import concurrent.futures
import functools
import os
import queue
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tqdm import tqdm

from . import judge
from .inbox import File
from .judge import Graded
from .store import Scores

STATES = ("graded", "blank", "unreadable", "timed out", "died", "not graded")


def run(files: list[File], scores: Scores, level: str = "auto", *, jobs: int = 0, scheduler: str = "", again: bool = False,
        seconds: float = judge.SECONDS) -> tuple[Counter, str]:
    """Grade what is new or has changed. Returns how many files came out how, "as before" among them, and the level.

    Whatever goes wrong with one file is written as its reason, and the others go on.
    """
    counted: Counter = Counter()
    random.shuffle(files := list(files))  # of two graders at work, each meets what the other has done
    place = Cluster(scheduler, level, scores.secret, seconds) if scheduler else Here(level, jobs, scores.secret, seconds)
    with place, tqdm(total=len(files), unit="notebook", disable=None, file=sys.stderr) as bar:
        def written(file: File, content: bytes | None, graded: Graded) -> None:
            scores.write(file.student, file.name, content, graded, place.level, judge.version(graded.notebook))
            counted[graded.state] += 1
            bar.update()

        def new() -> Iterator[tuple[tuple[File, bytes], bytes]]:
            for file in files:
                content, problem = _content(file)
                if not again and scores.done(file.student, file.name, content, judge.version):
                    counted["as before"] += 1
                    bar.update()
                elif content is None:
                    written(file, content, Graded("", "unreadable", notes=(judge.not_graded(problem),)))
                else:
                    yield (file, content), content

        for (file, content), graded in place.results(new()):
            written(file, content, graded)
    return counted, place.level


def _content(file: File) -> tuple[bytes | None, str]:
    try:
        return file.content(), ""
    except (ValueError, OSError) as problem:
        return None, str(problem)


def one(content: bytes, servers: judge.Forked | judge.Spawned, secret: str, seconds: float) -> Graded:
    """What a notebook is worth; a fault of the grader itself is told as such, and costs nobody else anything."""
    try:
        return judge.grade(content, servers, secret, seconds)
    except Exception as problem:  # noqa: BLE001
        return Graded("", "not graded", notes=(f"The grader failed on this file ({type(problem).__name__}: {problem}). It is not "
                                               "the student's fault; grade it by hand, and report it.",))


class Here:
    """This machine's cores, a server for each."""

    def __init__(self, level: str, jobs: int, secret: str, seconds: float):
        self._servers = judge.start(level, jobs or os.cpu_count() or 1)
        self.level, self._secret, self._seconds = self._servers[0].level, secret, seconds

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *error: Any) -> None:
        for servers in self._servers:
            servers.close()

    def results(self, jobs: Iterable[tuple[Any, bytes]]) -> Iterator[tuple[Any, Graded]]:
        """What each notebook is worth, as it comes."""
        free: queue.SimpleQueue = queue.SimpleQueue()
        for servers in self._servers:
            free.put(servers)

        def work(content: bytes) -> Graded:
            servers = free.get()
            try:
                return one(content, servers, self._secret, self._seconds)
            finally:
                free.put(servers)

        with concurrent.futures.ThreadPoolExecutor(len(self._servers)) as pool:
            yield from _as_they_come(jobs, lambda content: pool.submit(work, content), 2 * len(self._servers),
                                     concurrent.futures.wait)


class Cluster:
    """A Dask cluster; each worker process has a server of its own. ``pip install "course_utils[grade]"`` brings Dask."""

    def __init__(self, scheduler: str, level: str, secret: str, seconds: float):
        import distributed
        self._client = distributed.Client(scheduler, timeout=10)
        self._level, self._secret, self._seconds = level, secret, seconds
        levels = self._client.run(_level_of_worker, level)
        if not levels:
            raise judge.LevelUnavailable(f"the scheduler at {scheduler} has no worker. Start one: dask worker {scheduler}.")
        self.level = max(levels.values(), key=judge.LEVELS.index)  # the weakest

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *error: Any) -> None:
        self._client.close()

    def results(self, jobs: Iterable[tuple[Any, bytes]]) -> Iterator[tuple[Any, Graded]]:
        """What each notebook is worth, as it comes."""
        import distributed
        most = 4 * sum(self._client.nthreads().values())
        yield from _as_they_come(jobs, lambda content: self._client.submit(
            on_worker, content, self._secret, self._level, self._seconds, pure=False), most, distributed.wait)


def _as_they_come(jobs: Iterable[tuple[Any, bytes]], submit: Callable[[bytes], Any], most: int,
                  wait: Callable) -> Iterator[tuple[Any, Graded]]:
    """The results, never more than ``most`` under way."""
    running: dict[Any, Any] = {}
    jobs = iter(jobs)
    more = True
    while running or more:
        while more and len(running) < most:
            job = next(jobs, None)
            more = job is not None
            if more:
                running[submit(job[1])] = job[0]
        for future in wait(list(running), return_when="FIRST_COMPLETED").done if running else ():
            yield running.pop(future), future.result()


_one_at_a_time = threading.Lock()


@functools.cache
def _servers_of_worker(level: str) -> judge.Forked | judge.Spawned:
    return judge.start(level, 1)[0]


def _level_of_worker(level: str) -> str:
    with _one_at_a_time:
        return _servers_of_worker(level).level


def on_worker(content: bytes, secret: str, level: str, seconds: float) -> Graded:
    """`one`, in a worker's process."""
    with _one_at_a_time:
        return one(content, _servers_of_worker(level), secret, seconds)
