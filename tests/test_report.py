"""What goes into the grader and what comes out of it: tables, pages, marks given by hand, and the command's last line."""

import csv
import json

import pytest
import submissions
from grading_helpers import ONE, one_server, row, rows_of, small_class  # noqa: F401  a fixture

from course_utils import exercises
from course_utils.cli import main
from course_utils.grading import judge, names, pages, report, scoring, store, tables
from course_utils.grading import marks as marks_by_hand


def lines_of(out):
    """The table in a report, a dictionary for each line."""
    return list(csv.DictReader(open(out / "scores.csv", encoding="utf-8-sig", newline="")))


def test_from_a_folder_to_scores_and_pages(small_class, capsys):
    out = small_class / "out"
    marks = small_class / "marks.csv"
    marks.write_text("student,notebook,question,points,out_of,comment\nhalf_4,01_graph_tasks,discussion,1.5,2,good start\n")
    command = ["grade", str(small_class / "in"), "--scores", str(small_class / "scores.sqlite"), "--out", str(out), "--marks", str(marks)]
    assert main(command) == 0
    assert "7 files of 7 students: 5 graded, 1 blank, 1 unreadable (level" in capsys.readouterr().out.replace("\n", " ")
    table = {line["student"]: line for line in lines_of(out)}
    assert float(table["half_4"]["points"]) == 3 + 1.5 and float(table["half_4"]["out of"]) == 7 + 2
    assert table["perfect02messagepassing_26"]["points"] == "10"
    page = (out / "students" / "half_4.html").read_text()
    assert "course-card" in page and "good start" in page and "1.5 of 2" in page
    in_class = (out / "class.html").read_text()
    assert exercises.find("degrees").misconceptions[0].says[:30] in in_class
    result = json.loads((out / "results" / "half_4-01_graph_tasks.json").read_text())
    assert result["score"] == 4.5 and result["tests"][0]["max_score"] == 1 and result["extra_data"]["level"] in judge.LEVELS

    assert main([*command[:6], "--canvas", "Notebook 1 (7)"]) == 0  # nothing is run again, and marks are still there
    assert "0 graded, 7 as before" in capsys.readouterr().out
    table = {line["ID"]: line for line in lines_of(out)}
    assert table["4"]["Student"] == "half" and float(table["4"]["Notebook 1 (7)"]) == 4.5
    assert main([*command, "--again"]) == 0
    assert "5 graded" in capsys.readouterr().out and rows_of(small_class / "scores.sqlite")["half_4"][0] == 3


def test_one_submission_alone(small_class, capsys, tmp_path):
    file = next((small_class / "in").glob("half*"))
    assert main(["grade", str(file), "--results", str(tmp_path / "results.json")]) == 0
    said = capsys.readouterr().out
    assert "01_graph_tasks: 3 of 7 points" in said and "✓ to_edge_index: right" in said
    assert "1 file of 1 student: 1 graded" in said
    assert json.loads((tmp_path / "results.json").read_text())["score"] == 3


COLUMNS = "student,notebook,question,points,out_of\n"


@pytest.mark.parametrize(("marks", "says"), [
    ("a,b\n1,2\n", "student, notebook, question, points, out_of is missing"),
    (f"{COLUMNS}a,{ONE},c,many,2\n", "line 2: could not convert"), (f"{COLUMNS}a,{ONE},c,1\n", "c has no out_of"),
    (f"{COLUMNS}a,{ONE},c,nan,2\n", "points and out_of are numbers"), (f"{COLUMNS}a,{ONE},degrees,1,2\n", "degrees is out of 1 points"),
    (f"{COLUMNS}a,b,c,1,2\n", "b is not a notebook; there are 01_graph_tasks"), ("M\xfcller", "is not UTF-8 text")])
def test_marks_that_cannot_be_read(small_class, tmp_path, capsys, marks, says):
    (tmp_path / "marks.csv").write_text(marks, "latin-1")
    assert main(["grade", str(small_class / "in"), "--marks", str(tmp_path / "marks.csv")]) == 2
    assert says in capsys.readouterr().err


def test_marks_are_taken_back_and_strangers_are_named(small_class, tmp_path, capsys):
    marks, scores = tmp_path / "marks.csv", store.Scores(tmp_path / "s.sqlite")
    head = "student,notebook,question,points,out_of,comment\n"
    for points, kept in (("0.1", [("ada", 0.1)]), ("2", [("ada", 2)]), ("", [])):
        marks.write_text(f"{head}ada,01_graph_tasks,discussion,{points},2,\n")
        scores.give(marks_by_hand.read(marks))
        assert [(mark.student, mark.points) for mark in scores.marks()] == kept
    marks.write_text(f"{head}ada,01_graph_tasks,discussion,1,2,\n")
    assert main(["grade", str(next((small_class / "in").glob("half*"))), "--marks", str(marks)]) == 0
    assert "nothing came from ada" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--scores", "no/such/folder/s.sqlite"], ["--jobs", "-3"], ["--seconds", "0"]])
def test_wrong_arguments_to_grade_are_said_in_a_sentence(small_class, capsys, arguments):
    try:
        code = main(["grade", str(small_class / "in"), *arguments])
    except SystemExit as end:  # argparse's
        code = end.code
    assert code == 2 and arguments[1] in capsys.readouterr().err


def test_pages_and_tables_lose_nobody(tmp_path):
    verdict = judge.Verdict("degrees", "not started", 0, 1)
    rows = [row("a", "f", submissions.ONE, "graded", verdict), row("a", "g", "", "unreadable"),
            row("b_1", "h", "", "not graded")]
    scores = scoring.scores_of(rows, [])
    assert [line[:2] for line in tables.full_table(scores)[1:]] == [["a", ""], ["a", submissions.ONE], ["b_1", ""]]
    assert [line[-1] for line in tables.canvas_table(scores, "HW")[1:]] == [0, ""]
    page = pages.feedback("a", rows[:2], scores[:2])
    assert "another file" not in page and "No function <code>degrees</code>" in page and "In all: 0 of 1 points" in page
    results = tables.results(rows[:2], scores[:2])
    assert "g: 0 of 0 points (unreadable)" in results["output"] and results["extra_data"]["level"] == "full, full"


def test_the_class_page_says_what_else_went_wrong():
    for said, name in (("cell 3 is no valid Python (line 1: x)", "no valid Python"),
                       ("on x: the answer is a NumPy array; y", "a NumPy array in place of a tensor"),
                       (exercises.TAKEN.format("degrees"), "the library's own function"),
                       ("else", "wrong in another way")):
        assert pages._otherwise(judge.Verdict("degrees", "wrong", 0, 1, (judge.Finding("wrong", said),))) == name


def test_every_page_escapes_what_students_wrote(tmp_path):
    scores = store.Scores(tmp_path / "s.sqlite")
    answer = submissions.degrees("raise ValueError('<script>alert(1)</script>')")
    graded = judge.grade(submissions.as_bytes(submissions.filled(answers={"degrees": answer})), one_server(), scores.secret)
    scores.write("<b>=eve", "<i>.ipynb", b"", graded, "full", "1")
    report.write(scores, tmp_path)
    (page,) = (tmp_path / "students").iterdir()
    for text in (page.read_text(), (tmp_path / "class.html").read_text()):
        assert "<script>" not in text and "<b>=eve" not in text and "<i>.ipynb" not in text
    assert "&lt;script&gt;" in page.read_text()
    for name in ("../up", "a/b", "..", "con\n", "=1+1", "x" * 300):
        assert (tmp_path / f"{names.file_name(name)}.html").resolve().parent == tmp_path
    assert names.cell("=1+1") == "'=1+1"
