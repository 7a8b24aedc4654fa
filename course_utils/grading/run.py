"""From a list of files to scores in a database, on this machine or on a cluster.

A file whose grading may have failed for the machine's sake is tried once more after all the others, by itself.
"""

from __future__ import annotations

import concurrent.futures
import os
import queue
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from tqdm import tqdm

from .. import exercises
from ..exercises.verdict import Finding, Verdict
from . import judge
from .children import LEVELS, Forked, LevelUnavailable, ServerDied, Spawned
from .inbox import File
from .judge import Terms
from .records import STATES as STATES, Graded
from .store import Scores


@dataclass(frozen=True)
class Job:
    """A file to grade; with ``only``, the names of the exercises that are tried again, while its other verdicts stay."""

    file: File
    content: bytes
    only: tuple[str, ...] = ()


def run(files: list[File], scores: Scores, level: str = "auto", *, jobs: int = 0, scheduler: str = "", again: bool = False,
        only: Collection[str] = (), seconds: float = judge.SECONDS, notebook: str = "") -> tuple[Counter, str]:
    """Grade what is new or has changed. Returns how many files came out how, "as before" among them, and the level.

    With ``only``, the names of exercises, new and changed files are graded, and of all others these exercises alone, together
    with those that were not graded. Whatever goes wrong with one file is written as its reason, and the others go on.
    """
    counted: Counter = Counter()
    files = random.sample(files, len(files))  # of two graders at work, each meets what the other has done
    terms = Terms(scores.secret, seconds, notebook)
    place = Cluster(scheduler, level, terms) if scheduler else Here(level, jobs, terms)
    with place, tqdm(total=len(files), unit="notebook", disable=None, file=sys.stderr) as bar:
        def write(file: File, content: bytes | None, results: list[Graded]) -> None:
            for number, graded in enumerate(results):
                name = f"{file.name} ({graded.notebook})" if number else file.name
                scores.write(file.student, name, content, graded, place.level, judge.version(graded.notebook))

        def write_job(job: Job, results: list[Graded]) -> None:
            if job.only:
                scores.regrade(job.file.student, job.file.name, results, place.level, judge.version)
            else:
                write(job.file, job.content, results)

        def count(state: str) -> None:
            counted[state] += 1
            bar.update()

        def contents(some: list[File]) -> Iterator[tuple[File, bytes]]:
            for file in some:
                try:
                    yield file, file.content()
                except (ValueError, OSError) as problem:
                    write(file, None, [Graded("", "unreadable", notes=(judge.not_graded(problem),))])
                    count("unreadable")

        def new() -> Iterator[Job]:
            for file, content in contents(files):
                job = _job(file, content, scores, again, only)
                if job is None:
                    count("as before")
                else:
                    yield job

        def once_more() -> Iterator[Job]:
            for file, content in contents([job.file for job in uncertain]):
                yield next(replace(job, content=content) for job in uncertain if job.file is file)

        uncertain: list[Job] = []  # without their contents, which may be large
        for job, results in place.results(new()):
            results = _of_part(job, results)
            write_job(job, results)
            if any(graded.state == "not graded" for graded in results):
                uncertain.append(replace(job, content=b""))
            else:
                count(worst(results).state)
        for job, results in place.results(once_more(), in_peace=True):
            results = _of_part(job, results)
            write_job(job, results)
            count(worst(results).state)
    return counted, place.level


def _job(file: File, content: bytes, scores: Scores, again: bool, only: Collection[str]) -> Job | None:
    """What there is to do with a file; None if nothing is."""
    states = scores.states(file.student, file.name, content) if only else None
    if states is None:
        is_done = not again and scores.done(file.student, file.name, content, judge.version)
        return None if is_done else Job(file, content)
    names = tuple(name for name, state in states.items() if name in only or state == "not graded")
    return Job(file, content, names) if names else None


def _of_part(job: Job, results: list[Graded]) -> list[Graded]:
    """What came out. If a file that was graded before cannot be read or tried now, the exercises asked for are not graded."""
    if not job.only or results[0].notebook:
        return results
    findings = tuple(Finding("note", note) for note in results[0].notes)
    verdicts = [Verdict(name, "not graded", 0, exercises.find(name).points, findings) for name in job.only]
    return [replace(results[0], state="not graded", verdicts=tuple(verdicts), notes=())]


def worst(results: list[Graded]) -> Graded:
    """The one that is not graded, if there is one."""
    return next((graded for graded in results if graded.state == "not graded"), results[0])


class Seat:
    """A server, and another one when it has died."""

    def __init__(self, server: Forked | Spawned):
        self.server = server
        self._closed = False

    def grade(self, content: bytes, terms: Terms) -> list[Graded]:
        """The verdicts on a notebook. A fault of the grader is told as such, and costs nobody else anything."""
        try:
            return judge.grade(content, self.server, terms)
        except ServerDied as problem:
            if not self._closed:
                self.server = self.server.anew()
                if self._closed:  # meanwhile
                    self.server.close()
            return [Graded("", "not graded", notes=(f"The grader's own process ended on this file: {problem}. It was tried twice. "
                                                    "Look at the file, and grade it by hand.",))]
        except Exception as problem:  # noqa: BLE001
            return [Graded("", "not graded", notes=(f"The grader failed on this file ({type(problem).__name__}: {problem}). It is "
                                                    "not the student's fault; grade it by hand, and report it.",))]

    def close(self) -> None:
        self._closed = True
        self.server.close()


class Here:
    """This machine's cores, a server for each."""

    def __init__(self, level: str, jobs: int, terms: Terms):
        servers = judge.start(level, jobs or os.cpu_count() or 1, terms.seconds)
        self._seats = [Seat(server) for server in servers]
        self.level, self._terms = servers[0].level, terms

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *error: Any) -> None:
        for seat in self._seats:
            seat.close()

    def results(self, jobs: Iterable[Job], *, in_peace: bool = False) -> Iterator[tuple[Job, list[Graded]]]:
        """What each file is worth, as it comes; ``in_peace``, one after the other."""
        seats = self._seats[:1] if in_peace else self._seats
        terms = replace(self._terms, in_peace=in_peace)
        free: queue.SimpleQueue[Seat] = queue.SimpleQueue()
        for seat in seats:
            free.put(seat)

        def work(job: Job) -> list[Graded]:
            seat = free.get()
            try:
                return seat.grade(job.content, replace(terms, only=job.only))
            finally:
                free.put(seat)

        pool = concurrent.futures.ThreadPoolExecutor(len(seats))
        try:
            yield from _as_they_come(jobs, lambda job: pool.submit(work, job), 1 if in_peace else 2 * len(seats),
                                     concurrent.futures.wait)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class Cluster:
    """A Dask cluster; each worker process has a server of its own. ``pip install "course_utils[cluster]"`` brings Dask."""

    def __init__(self, scheduler: str, level: str, terms: Terms):
        import distributed
        self._client = distributed.Client(scheduler, timeout=10)
        self._level, self._terms = level, terms
        levels = self._client.run(_level_of_worker, level, terms.seconds)
        if not levels:
            raise LevelUnavailable(f"the scheduler at {scheduler} has no worker. Start one: dask worker {scheduler}.")
        self.level = max(levels.values(), key=LEVELS.index)  # the weakest

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *error: Any) -> None:
        self._client.close()

    def results(self, jobs: Iterable[Job], *, in_peace: bool = False) -> Iterator[tuple[Job, list[Graded]]]:
        """What each file is worth, as it comes; ``in_peace``, one after the other."""
        import distributed
        terms = replace(self._terms, in_peace=in_peace)
        most = 1 if in_peace else 4 * sum(self._client.nthreads().values())

        def submit(job: Job) -> Any:
            own_terms = replace(terms, only=job.only)
            return self._client.submit(on_worker, job.content, self._level, own_terms, pure=False)

        yield from _as_they_come(jobs, submit, most, distributed.wait)


def _as_they_come(jobs: Iterable[Job], submit: Callable[[Job], Any], most: int,
                  wait: Callable) -> Iterator[tuple[Job, list[Graded]]]:
    """The results, never more than ``most`` under way."""
    running: dict[Any, Job] = {}
    jobs = iter(jobs)
    more = True
    while running or more:
        while more and len(running) < most:
            job = next(jobs, None)
            more = job is not None
            if more:
                running[submit(job)] = job
        for future in wait(list(running), return_when="FIRST_COMPLETED").done if running else ():
            yield running.pop(future), future.result()


# In a worker of the cluster ------------------------------------------------------------------------------------------

_one_at_a_time = threading.Lock()
_seats: dict[tuple[str, float], Seat] = {}


def _seat(level: str, seconds: float) -> Seat:
    if (level, seconds) not in _seats:
        _seats[level, seconds] = Seat(judge.start(level, 1, seconds)[0])
    return _seats[level, seconds]


def _level_of_worker(level: str, seconds: float) -> str:
    with _one_at_a_time:
        return _seat(level, seconds).server.level


def on_worker(content: bytes, level: str, terms: Terms) -> list[Graded]:
    """`Seat.grade`, in a worker's process."""
    with _one_at_a_time:
        return _seat(level, terms.seconds).grade(content, terms)
