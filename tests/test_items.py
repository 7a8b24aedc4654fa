"""How hard each exercise was, if it agrees with the others, and whose answers are behind a misconception."""

import re
from urllib.parse import unquote

import numpy as np
import pytest
from grading_helpers import FULL, ONE, graded, row

from course_utils import exercises
from course_utils.exercises.verdict import Verdict
from course_utils.grading import items, judge, pages, report, scoring, store

DECLARED = exercises.of_notebook(ONE)


def scores_of(all_points):
    rows = [
        store.Row(f"s{i:02}", "hw", graded(points), "full", "1", "2024-01-01")
        for i, points in enumerate(all_points)
    ]
    return scoring.scores_of(rows, [])


def test_share_and_discrimination_are_those_of_numpy():
    rng = np.random.default_rng(0)
    earned = [{name: int(rng.choice([0, out_of])) for name, out_of in FULL[ONE].items()} for _ in range(40)]
    points = np.array([[line[name] for name in FULL[ONE]] for line in earned], dtype=float)
    for i, item in enumerate(items.items(DECLARED, scores_of(earned))):
        others = points.sum(axis=1) - points[:, i]
        assert item.share == pytest.approx(points[:, i].mean() / FULL[ONE][item.name])
        assert item.discrimination == pytest.approx(np.corrcoef(points[:, i], others)[0, 1])


def test_few_scores_and_scores_that_are_all_the_same_have_no_correlation():
    few = [{"degrees": 0, "permute": 0}, {}, {}]
    assert {item.discrimination for item in items.items(DECLARED, scores_of(few))} == {None}
    assert {item.discrimination for item in items.items(DECLARED, scores_of([{}] * 9))} == {None}
    assert items.items(DECLARED, []) == [] and items.table([]) == ""


def test_what_was_not_graded_is_left_out():
    with_gap = items.items(DECLARED, scores_of([{"degrees": 0}, {"degrees": None}]))
    assert {item.name: item.share for item in with_gap}["degrees"] == 0


def test_the_class_page_shows_them_and_leads_to_the_answers_behind_a_misconception(tmp_path):
    misconception = exercises.find("degrees").misconceptions[0]
    scores = store.Scores(tmp_path / "s.sqlite")
    wrong = Verdict("degrees", "wrong", 0, 1, (), misconception.name)
    for i, student in enumerate(["Ada <Love>", "bo", "ci", "do", "em", "fi"]):
        verdicts = [
            verdict
            for verdict in graded({"permute": 0} if i < 3 else {}).verdicts
            if verdict.exercise != "degrees"
        ]
        verdicts.append(wrong if i < 2 else Verdict("degrees", "right", 1, 1))
        scores.write(student, "hw.ipynb", b"", judge.Graded(ONE, "graded", tuple(verdicts)), "full", "1")
    report.write(scores, tmp_path / "out")
    page = (tmp_path / "out" / "class.html").read_text()
    assert "67 %" in page and "0.71" in page and "<Love>" not in page
    links = re.findall(r"href='(.*?)'", page)
    assert len([link for link in links if (tmp_path / "out" / unquote(link)).exists()]) == len(links) > 2
    line = next(
        line for line in page.split("<tr>") if f">{misconception.name}<" in line.replace("&#x27;", "'")
    )
    assert "Ada &lt;Love&gt;" in line and ">bo<" in line and ">ci<" not in line


def test_a_page_of_a_class_without_scores_is_a_page():
    rows = [row("a", "f", "", "unreadable")]
    assert "Students: 1. Files: 1 (1 unreadable)." in pages.class_page(rows, scoring.scores_of(rows, []))
