"""What goes into the grader and what comes out: tables, pages, marks by hand, and the last line."""

import csv
import itertools
import json
import os
import re
import subprocess
import unicodedata
import zipfile
from collections import Counter
from pathlib import Path

import pytest
import submissions
from grading_helpers import (  # noqa: F401  fixtures among them
    FULL,
    ONE,
    TWO,
    at_hand,
    graded,
    lay_out,
    lines_of,
    one_server,
    recorded,
    row,
    rows_of,
    sheet,
    small_class,
)

from course_utils import exercises
from course_utils.cli import main
from course_utils.grading import children, judge, names, pages, report, run, scoring, store, tables
from course_utils.grading import marks as marks_by_hand


@pytest.mark.slow
def test_from_a_folder_to_scores_and_pages(small_class, capsys):
    out = small_class / "out"
    marks = small_class / "marks.csv"
    marks.write_text(
        "student,notebook,question,points,out_of,comment\nhalf_4,01_graph_tasks,discussion,1.5,2,good start\n"
    )
    command = [
        "grade",
        str(small_class / "in"),
        "--scores",
        str(small_class / "scores.sqlite"),
        "--out",
        str(out),
        "--marks",
        str(marks),
    ]
    assert main(command) == 0
    assert (
        "7 files of 7 students: 5 graded, 1 blank, 1 unreadable (level"
        in capsys.readouterr().out.replace("\n", " ")
    )
    table = {line["student"]: line for line in lines_of(out)}
    assert float(table["half_4"]["points"]) == 3 + 1.5 and float(table["half_4"]["out of"]) == 7 + 2
    assert table["perfect02messagepassing_26"]["points"] == "10"
    page = (out / "students" / "half_4.html").read_text()
    assert "course-card" in page and "good start" in page and "1.5 of 2" in page
    in_class = (out / "class.html").read_text()
    assert exercises.find("degrees").misconceptions[0].says[:30] in in_class
    result = json.loads((out / "results" / "half_4-01_graph_tasks.json").read_text())
    assert result["score"] == 4.5 and result["tests"][0]["max_score"] == 1
    assert result["extra_data"]["level"] in children.LEVELS

    assert main([*command[:6], "--canvas", "Notebook 1 (7)"]) == 0
    assert "0 graded, 7 as before" in capsys.readouterr().out
    table = {line["ID"]: line for line in lines_of(out)}
    assert table["4"]["Student"] == "half" and float(table["4"]["Notebook 1 (7)"]) == 4.5
    assert main([*command, "--again"]) == 0
    assert (
        "5 graded" in capsys.readouterr().out and rows_of(small_class / "scores.sqlite")["half_4"][0] == 3
    )


def test_one_submission_alone(small_class, capsys, tmp_path, at_hand):
    file = next((small_class / "in").glob("half*"))
    assert main(["grade", str(file), "--results", str(tmp_path / "results.json")]) == 0
    said = capsys.readouterr().out
    assert "01_graph_tasks: 3 of 7 points" in said and "✓ to_edge_index: right" in said
    assert "1 file of 1 student: 1 graded" in said
    assert json.loads((tmp_path / "results.json").read_text())["score"] == 3


COLUMNS = "student,notebook,question,points,out_of\n"


@pytest.mark.parametrize(
    ("marks", "says"),
    [
        ("a,b\n1,2\n", "student, notebook, question, points, out_of is missing"),
        (f"{COLUMNS}half_4,{ONE},c,many,2\n", "line 2: could not convert"),
        (f"{COLUMNS}half_4,{ONE},c,1\n", "c has no out_of"),
        (f"{COLUMNS}half_4,{ONE},c,nan,2\n", "points and out_of are numbers"),
        (f"{COLUMNS}half_4,{ONE},degrees,1,2\n", "degrees is out of 1 points"),
        (f"{COLUMNS}half_4,{ONE},degree,1,1\n", f"degree is not an exercise of {ONE}; did you mean degrees?"),
        (f"{COLUMNS}half_4,{ONE},To edge index,1,1\n", "did you mean to_edge_index?"),
        (f"{COLUMNS}half_4,{TWO},degrees,1,1\n", f"degrees is an exercise of {ONE}, and the line says {TWO}"),
        (
            f"{COLUMNS}half_4,{ONE},c,1,1\nhalf4,{ONE},c,1,1\n",
            "line 3: There is no half4. Did you mean half_4?",
        ),
        (
            f"{COLUMNS}half_4,{ONE},c,1,1\nlibrary_7,{ONE},c,1,2\n",
            "c is out of 2 points here and out of 1 in a line",
        ),
        (f"{COLUMNS}half_4,b,c,1,2\n", "b is not a notebook; there are 01_graph_tasks"),
        ("M\xfcller", "is not UTF-8 text"),
    ],
)
def test_marks_that_cannot_be_read(small_class, tmp_path, capsys, marks, says):
    (tmp_path / "marks.csv").write_text(marks, "latin-1")
    assert main(["grade", str(small_class / "in"), "--marks", str(tmp_path / "marks.csv")]) == 2
    assert says in capsys.readouterr().err


def test_marks_are_taken_back_and_a_student_of_whom_nothing_came_is_on_the_roster(recorded, tmp_path, capsys):
    marks, scores = tmp_path / "marks.csv", store.Scores(tmp_path / "s.sqlite")
    head = "student,notebook,question,points,out_of,comment\n"
    for points, kept in (("0.1", [("ada", 0.1)]), ("2", [("ada", 2)]), ("", [])):
        marks.write_text(f"{head}ada,01_graph_tasks,discussion,{points},2,\n")
        scores.give(marks_by_hand.read(marks))
        assert [(mark.student, mark.points) for mark in scores.marks()] == kept
    marks.write_text(f"{head}ada,01_graph_tasks,discussion,1,2,\n")
    lay_out(tmp_path / "in", {"adda.ipynb": sheet()})
    command = ["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--marks", str(marks)]
    assert main(command) == 2
    message = capsys.readouterr().err
    assert "line 2: There is no ada. Did you mean adda? Students are named as in scores.csv" in message
    assert not recorded
    (tmp_path / "roster.csv").write_text("student\nadda\nAda\n")
    assert main([*command, "--roster", str(tmp_path / "roster.csv")]) == 0
    assert "othing came from" not in capsys.readouterr().err
    lines = {line["student"]: (line["points"], line["out of"]) for line in lines_of(tmp_path / "out")}
    assert lines == {"adda": ("7", "9"), "Ada": ("1", "9")}


@pytest.mark.parametrize(
    "arguments", [["--scores", "no/such/folder/s.sqlite"], ["--jobs", "-3"], ["--seconds", "0"]]
)
def test_wrong_arguments_to_grade_are_said_in_a_sentence(small_class, capsys, arguments):
    try:
        code = main(["grade", str(small_class / "in"), *arguments])
    except SystemExit as end:  # argparse's
        code = end.code
    assert code == 2 and arguments[1] in capsys.readouterr().err


def test_pages_and_tables_lose_nobody(tmp_path):
    verdict = judge.Verdict("degrees", "not started", 0, 1)
    rows = [
        row("a", "f", submissions.ONE, "graded", verdict),
        row("a", "g", "", "unreadable"),
        row("b_1", "h", "", "not graded"),
    ]
    scores = scoring.scores_of(rows, [])
    assert [line[:2] for line in tables.full_table(scores)[1:]] == [
        ["a", submissions.ONE],
        ["a", ""],
        ["b_1", ""],
    ]
    assert [line[-1] for line in tables.canvas_table(scores, "HW")[1:]] == [0, ""]
    page = pages.feedback("a", rows[:2], scores[:2])
    assert (
        "another file" not in page
        and "No function <code>degrees</code>" in page
        and "In all: 0 of 7 points" in page
    )
    results = tables.results(rows[:2], scores[:2])
    assert (
        "g: unreadable" in results["output"]
        and results["extra_data"]["level"] == "full, full"
    )


def test_the_class_page_says_what_else_went_wrong():
    for said, name in (
        ("cell 3 is not valid Python (line 1: x)", "no valid Python"),
        ("on x: the answer is a NumPy array; y", "a NumPy array in place of a tensor"),
        (exercises.TAKEN.format("degrees"), "the library's own function"),
        ("else", "wrong in another way"),
    ):
        assert (
            pages._otherwise(judge.Verdict("degrees", "wrong", 0, 1, (judge.Finding("wrong", said),)))
            == name
        )


def test_every_page_escapes_what_students_wrote(tmp_path):
    scores = store.Scores(tmp_path / "s.sqlite")
    answer = submissions.degrees("raise ValueError('<script>alert(1)</script>')")
    content = submissions.as_bytes(submissions.filled(answers={"degrees": answer}))
    (graded,) = judge.grade(content, one_server(), judge.Terms(scores.secret))
    scores.write("<b>=eve", "<i>.ipynb", b"", graded, "full", "1")
    report.write(scores, tmp_path)
    (page,) = (tmp_path / "students").iterdir()
    for text in (page.read_text(), (tmp_path / "class.html").read_text()):
        assert "<script>" not in text and "<b>=eve" not in text and "<i>.ipynb" not in text
    assert "&lt;script&gt;" in page.read_text()
    for name in ("../up", "a/b", "..", "con\n", "=1+1", "x" * 300):
        assert (tmp_path / f"{names.file_name(name)}.html").resolve().parent == tmp_path
    assert names.cell("=1+1") == "'=1+1"


def test_a_notebook_has_the_same_maximum_for_everybody(recorded, tmp_path):
    lay_out(tmp_path / "in", {"ada.ipynb": sheet(), "bo.ipynb": sheet({"degrees": 0})})
    (tmp_path / "roster.csv").write_text("student\nada\nbo\nci\ndo\n")
    lines = [f"ada,{ONE},discussion,2,3", f"ci,{ONE},essay,1,2", f"do,{ONE},degrees,1,"]
    (tmp_path / "marks.csv").write_text("\n".join([COLUMNS.strip(), *lines]))
    tables = ["--roster", str(tmp_path / "roster.csv"), "--marks", str(tmp_path / "marks.csv")]
    assert main(["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out"), *tables]) == 0
    lines = {line["student"]: (line["points"], line["out of"]) for line in lines_of(tmp_path / "out")}
    assert lines == {"ada": ("9", "12"), "bo": ("6", "12"), "ci": ("1", "12"), "do": ("1", "12")}


def test_a_mark_by_the_roster_stays_with_the_student_when_a_file_comes(recorded, tmp_path):
    lay_out(tmp_path / "in", {"loveada_1_2_hw.ipynb": sheet()})
    (tmp_path / "roster.csv").write_text('student,ID\n"Love, Ada",1\n"Li, Bo",2\n')
    command = ["grade", str(tmp_path / "in"), "--scores", str(tmp_path / "s.sqlite")]
    command += ["--out", str(tmp_path / "out"), "--roster", str(tmp_path / "roster.csv")]
    for name, points, total in (("Bo Li", 1, "1"), ("libo_2", 2, "9"), ("Li, Bo", 1, "8"), ("2", "", "7")):
        (tmp_path / "marks.csv").write_text(f'{COLUMNS}"{name}",{ONE},discussion,{points},2\n')
        assert main([*command, "--marks", str(tmp_path / "marks.csv")]) == 0
        lines = {line["name"]: line["points"] for line in lines_of(tmp_path / "out")}
        assert lines == {"Love, Ada": "7", "Li, Bo": total}
        lay_out(tmp_path / "in", {"libo_2_3_hw.ipynb": sheet()})


def test_headings_say_the_points_that_count_and_pages_have_the_rosters_name(recorded, tmp_path, capsys):
    lay_out(tmp_path / "in", {"ada_LATE_1_2_hw.ipynb": sheet({"degrees": 0})})
    (tmp_path / "marks.csv").write_text(f"{COLUMNS}ada_1,{ONE},degrees,0.5,\n")
    (tmp_path / "roster.csv").write_text('Name,SID\n"Love, Ada",1\n')
    command = ["grade", str(tmp_path / "in"), "--off-per-day", "2", "--marks", str(tmp_path / "marks.csv")]
    command += ["--roster", str(tmp_path / "roster.csv")]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    assert f"{ONE}: 4.5 of 7 points" in capsys.readouterr().out
    page = (tmp_path / "out" / "students" / "ada_1.html").read_text()
    assert f"<h2>{ONE}: 4.5 of 7 points</h2>" in page and "<h1>Love, Ada</h1>" in page
    assert "6 of 7 points" not in page
    result = json.loads((tmp_path / "out" / "results" / f"ada_1-{ONE}.json").read_text())
    assert result["score"] == 4.5 and f"{ONE}: 4.5 of 7 points" in result["output"]


def test_a_class_without_a_place_for_its_scores_is_shown_and_told_so(recorded, tmp_path, capsys):
    unfinished = sheet({"degrees": None})
    lay_out(tmp_path / "in", {"ada.ipynb": sheet(), "bo.ipynb": b"x", "ci.ipynb": unfinished})
    assert main(["grade", str(tmp_path / "in")]) == 1
    lines = capsys.readouterr().out.splitlines()
    expected = [f"ada, {ONE}: 7 of 7 points", "bo, bo.ipynb: unreadable", f"ci, {ONE}: not graded"]
    assert lines[:3] == expected and lines[3].startswith("Nothing was saved. --scores FILE")
    main(["grade", str(tmp_path / "in"), "--scores", str(tmp_path / "s.sqlite")])
    assert "Nothing was saved" not in capsys.readouterr().out


# What was not graded --------------------------------------------------------------------------------------


def test_a_notebook_with_an_exercise_that_was_not_graded_has_no_total(recorded, tmp_path, capsys):
    lay_out(
        tmp_path / "in",
        {"ada_1_1_hw.ipynb": sheet({"degrees": None, "permute": 0}), "bo_2_2_hw.ipynb": sheet()},
    )
    command = [
        "grade",
        str(tmp_path / "in"),
        "--scores",
        str(tmp_path / "s.sqlite"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(command) == 1
    output = capsys.readouterr()
    assert "2 files of 2 students: 1 graded, 1 not graded" in output.out.splitlines()[-1]
    assert f"ada_1 ({ONE}: degrees)" in output.err and "--marks" in output.err
    ada, bo = lines_of(tmp_path / "out")
    assert (ada["points"], ada["degrees"], ada["permute"], ada["to_edge_index"]) == ("", "", "0", "1")
    assert bo["points"] == "7"
    page = (tmp_path / "out" / "students" / "ada_1.html").read_text()
    assert (
        "The grader could not finish degrees. This is not your fault" in page and "4 points so far" in page
    )
    assert "degrees: not graded yet" in page and "of 7 points" not in page
    in_class = (tmp_path / "out" / "class.html").read_text()
    assert "These have no total, because the grader could not finish: ada_1 (degrees)" in in_class
    assert "1 of 2 right, 1 not graded" in in_class and "7.0 of 7 points on average" in in_class
    assert [path.name for path in (tmp_path / "out" / "results").iterdir()] == [f"bo_2-{ONE}.json"]
    main([*command, "--canvas", "HW"])
    assert [(line["ID"], line["HW"]) for line in lines_of(tmp_path / "out")] == [("1", ""), ("2", "7")]


def test_points_by_hand_settle_what_was_not_graded(recorded, tmp_path):
    lay_out(
        tmp_path / "in",
        {"ada.ipynb": sheet({"degrees": None}), "bo.ipynb": sheet(notebook="", state="not graded")},
    )
    lines = [f"ada,{ONE},degrees,0.5,,half of it", *(f"bo,{ONE},{name},1,," for name in FULL[ONE])]
    (tmp_path / "marks.csv").write_text(
        "\n".join(["student,notebook,question,points,out_of,comment", *lines])
    )
    command = [
        "grade",
        str(tmp_path / "in"),
        "--scores",
        str(tmp_path / "s.sqlite"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert (
        main([*command, "--marks", str(tmp_path / "marks.csv"), "--canvas", "HW"]) == 1
    )  # the grader met a fault
    assert [line["HW"] for line in lines_of(tmp_path / "out")] == ["6.5", "4"]
    assert (
        "Points given by hand: 0.5 of 1: half of it"
        in (tmp_path / "out" / "students" / "ada.html").read_text()
    )


def test_of_several_files_one_that_was_not_graded_counts_unless_another_is_perfect():
    unknown = row("a", "1", ONE, "not graded", judge.Verdict("degrees", "not graded", 0, 1))
    wrong = row("a", "2", ONE, "graded", judge.Verdict("degrees", "wrong", 0, 1))
    right = row("a", "3", ONE, "graded", judge.Verdict("degrees", "right", 1, 1))
    for rows in itertools.permutations([unknown, wrong]):
        assert scoring.scores_of(rows, [])[0].points is None
    for rows in itertools.permutations([unknown, wrong, right]):
        assert scoring.scores_of(rows, [])[0].points == 1


@pytest.mark.parametrize("content", [sheet({"degrees": None}), sheet(notebook="", state="not graded")])
def test_gradescope_gets_no_partial_total_and_no_old_one(recorded, tmp_path, capsys, content):
    lay_out(tmp_path, {"submission/hw.ipynb": content, "results.json": b'{"score": 7}'})
    assert main(["grade", str(tmp_path / "submission"), "--results", str(tmp_path / "results.json")]) == 1
    assert not (tmp_path / "results.json").exists()
    assert "results.json is not written" in capsys.readouterr().err


def test_gradescope_gets_the_total_where_a_perfect_file_lies_beside_one_that_was_not_graded(
    recorded, tmp_path
):
    lay_out(tmp_path, {"submission/a.ipynb": sheet({"degrees": None}), "submission/b.ipynb": sheet()})
    main(["grade", str(tmp_path / "submission"), "--results", str(tmp_path / "results.json")])
    assert json.loads((tmp_path / "results.json").read_text())["score"] == 7


# What could not be read -----------------------------------------------------------------------------------


def test_a_file_that_cannot_be_read_has_no_score_and_its_student_is_named(recorded, tmp_path, capsys):
    lay_out(
        tmp_path / "in",
        {
            "ada_1_1_a.ipynb": sheet(),
            "ada_1_2_b.ipynb": b"no notebook",
            "bo_2_3_b.ipynb": b"no notebook",
            "gil_3_4_c.ipynb": sheet(notebook=TWO),
        },
    )
    command = ["grade", str(tmp_path / "in"), "--notebook", ONE, "--out", str(tmp_path / "out")]
    assert main([*command, "--canvas", "HW"]) == 0
    assert [(line["ID"], line["HW"]) for line in lines_of(tmp_path / "out")] == [
        ("1", "7"),
        ("2", ""),
        ("3", ""),
    ]
    message = capsys.readouterr().err
    assert "No score, look at: bo_2 (bo_2_3_b.ipynb: Expecting value" in message
    assert f"; gil_3 (gil_3_4_c.ipynb: it is {TWO}; the assignment is {ONE}). Give points" in message
    assert "ada" not in message
    main(command)
    lines = lines_of(tmp_path / "out")
    assert [(line["student"], line["points"], line["state"]) for line in lines] == [
        ("ada_1", "7", "graded"),
        ("ada_1", "", "unreadable"),
        ("bo_2", "", "unreadable"),
        ("gil_3", "", "other notebook"),
    ]
    page = (tmp_path / "out" / "students" / "gil_3.html").read_text()
    assert "gil_3_4_c.ipynb: other notebook" in page and "0 of 0" not in page
    in_class = (tmp_path / "out" / "class.html").read_text()
    assert "No score, look at: bo_2" in in_class and "1 other notebook" in in_class


def test_what_the_judge_says_of_another_notebook_is_told_from_what_is_unreadable(tmp_path):
    scores = store.Scores(tmp_path / "s.sqlite")
    terms = judge.Terms(scores.secret, notebook=TWO)
    for student, content in (("ada", submissions.as_bytes(submissions.filled())), ("bo", b"x")):
        (result,) = judge.grade(content, one_server(), terms)
        scores.write(student, "hw.ipynb", content, result, "full", "1")
    rows, every = report.Plan(notebook=TWO).read(scores)
    assert [row.graded.state for row in rows] == ["other notebook", "unreadable"]
    assert scoring.to_look_at(every)[0] == f"ada (hw.ipynb: it is {ONE}; the assignment is {TWO})"


def test_of_many_files_that_cannot_be_read_ten_are_named(recorded, tmp_path, capsys):
    main(["grade", str(lay_out(tmp_path / "in", {f"s{i:02}.ipynb": b"x" for i in range(13)}))])
    message = capsys.readouterr().err
    assert "s09 (" in message and "s10" not in message and "; and 3 more." in message


def test_points_by_hand_are_a_score_of_an_unreadable_file_only_if_all_are_given(recorded, tmp_path, capsys):
    lay_out(tmp_path / "in", {"ada.ipynb": b"x", "bo.ipynb": b"x"})
    lines = [f"ada,{ONE},discussion,2,2", *(f"bo,{ONE},{name},1," for name in FULL[ONE])]
    (tmp_path / "marks.csv").write_text("\n".join([COLUMNS.strip(), *lines]))
    command = ["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    command += ["--marks", str(tmp_path / "marks.csv")]
    assert main(command) == 0
    lines = [(line["student"], line["notebook"], line["points"]) for line in lines_of(tmp_path / "out")]
    assert lines == [("ada", ONE, ""), ("bo", ONE, "4")]
    message = capsys.readouterr().err
    assert "look at: ada (" in message and "bo (" not in message
    main([*command, "--canvas", "HW"])
    assert [line["HW"] for line in lines_of(tmp_path / "out")] == ["", "4"]


@pytest.mark.parametrize("content", [b"x", sheet(notebook=TWO)])
def test_gradescope_gets_a_0_with_the_reason_of_an_upload_that_cannot_be_read(recorded, tmp_path, content):
    lay_out(tmp_path, {"submission/hw.ipynb": content})
    results = tmp_path / "results.json"
    command = ["grade", str(tmp_path / "submission"), "--results", str(results), "--notebook", ONE]
    assert main(command) == 0
    result = json.loads(results.read_text())
    assert result["score"] == 0 and "could not be graded" in result["output"]


# Names ----------------------------------------------------------------------------------------------------

STRANGE = [
    "\N{FULLWIDTH LATIN CAPITAL LETTER A}" * 80,
    "\N{GRINNING FACE}" * 63,
    "Ada",
    "ada",
    "CON",
    "aux",
    "com1",
    "lpt\N{SUPERSCRIPT ONE}",
    "dot.",
    "dot",
    "..",
    "../up",
    "a/b",
    "x" * 300,
    "M\N{LATIN SMALL LETTER U WITH DIAERESIS}ller",
    "Mu\N{COMBINING DIAERESIS}ller",
    "con\n",
]


def test_every_name_is_a_file_of_its_own_on_every_system(tmp_path):
    files = [names.file_name(name) for name in STRANGE]
    assert len({unicodedata.normalize("NFC", name).casefold() for name in files}) == len(STRANGE)
    for name in files:
        assert len(f".{name}-06_augmentation_and_canonicalization.json.part".encode()) < 160
        assert not re.search(r'[<>:"/\\|?*\x00-\x1f.]', name) and not names.RESERVED.fullmatch(name)
        (tmp_path / f"{name}.html").touch()
    assert names.file_name("half_4") == "half_4"  # an ordinary name stays


def test_a_class_of_strange_names_gets_its_report(recorded, tmp_path):
    students = [*STRANGE[:6], "=1+1", "a;b", "-x", "'=quoted"]
    scores = store.Scores(tmp_path / "s.sqlite")
    for student in students:
        scores.write(student, "hw.ipynb", b"", graded({}), "full", "1")
    report.write(scores, tmp_path / "out")
    assert len(list((tmp_path / "out" / "students").iterdir())) == len(students)
    assert len(list((tmp_path / "out" / "results").iterdir())) == len(students)


def test_a_spreadsheet_opens_the_table_and_a_copied_line_finds_its_student(recorded, tmp_path, capsys):
    students = [
        "=1+1",
        "+49",
        "a;b",
        "M\N{LATIN SMALL LETTER U WITH DIAERESIS}ller",
        "Ada  Love",
        "\N{FULLWIDTH EQUALS SIGN}2",
    ]
    lay_out(tmp_path / "in", {f"{name}/hw.ipynb": sheet() for name in students})
    command = [
        "grade",
        str(tmp_path / "in"),
        "--scores",
        str(tmp_path / "s.sqlite"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(command) == 0
    content = (tmp_path / "out" / "scores.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbfstudent,")  # Canvas takes the mark only in front of a bare word
    assert b'"a;b"' in content and b'\n"\'=1+1"' in content
    cells = [line["student"] for line in lines_of(tmp_path / "out")]
    assert not [cell for cell in cells if cell.startswith(names.FORMULA)]
    copied = [unicodedata.normalize("NFD", f" {cell} ") for cell in cells]
    for delimiter in ",;":
        with open(tmp_path / "marks.csv", "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, delimiter=delimiter)
            table.writerow(["student", "notebook", "question", "points", "out_of"])
            table.writerows(
                [[name, ONE, "discussion", "1,5" if delimiter == ";" else "1.5", 2] for name in copied]
            )
        assert main([*command, "--marks", str(tmp_path / "marks.csv")]) == 0
        assert "nothing came from" not in capsys.readouterr().err
        assert {line["points"] for line in lines_of(tmp_path / "out")} == {"8.5"}


def test_canvas_table_is_as_canvas_imports_it(recorded, tmp_path):
    lay_out(tmp_path / "in", {"m\N{LATIN SMALL LETTER U WITH DIAERESIS}lleran_LATE_12_9_hw.ipynb": sheet()})
    main(["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--canvas", "HW 1 (77)"])
    content = (tmp_path / "out" / "scores.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbfStudent,ID,SIS User ID,SIS Login ID,Section,HW 1 (77)\r\n")


# One notebook, one student --------------------------------------------------------------------------------


def test_an_assignment_is_bound_to_its_notebook(recorded, tmp_path, capsys):
    lay_out(tmp_path / "in", {"ada_1_1_a.ipynb": sheet(), "ada_1_2_b.ipynb": sheet(notebook=TWO)})
    command = ["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--canvas", "HW"]
    main(command)
    assert "adds up 01_graph_tasks, 02_message_passing" in capsys.readouterr().err
    assert [line["HW"] for line in lines_of(tmp_path / "out")] == ["17"]
    scores = ["--scores", str(tmp_path / "s.sqlite")]
    main([*command, *scores])  # what another notebook got before does not count either
    for name in (ONE, f"{ONE}.ipynb", f"notebooks/{ONE}.ipynb"):
        assert main([*command, *scores, "--notebook", name]) == 0
        assert [line["HW"] for line in lines_of(tmp_path / "out")] == ["7"]
    results = tmp_path / "results.json"
    assert main(["grade", str(tmp_path / "in"), "--results", str(results), "--notebook", ONE]) == 0
    assert json.loads(results.read_text())["score"] == 7 and f"the assignment is {ONE}" in results.read_text()
    assert main([*command, "--notebook", "01_graph_task"]) == 2
    assert f"Did you mean {ONE}" in capsys.readouterr().err


def test_another_notebook_that_was_graded_before_is_told_and_nobody_vanishes(
    recorded, tmp_path, monkeypatch
):
    lay_out(tmp_path / "in", {"ada.ipynb": sheet(), "bo.ipynb": sheet(notebook=TWO)})
    command = [
        "grade",
        str(tmp_path / "in"),
        "--scores",
        str(tmp_path / "s.sqlite"),
        "--out",
        str(tmp_path / "out"),
    ]
    main(command)
    monkeypatch.setattr(
        run, "run", lambda files, *args, **options: (Counter({"as before": len(files)}), "full")
    )
    main([*command, "--notebook", ONE])
    lines = {
        line["student"]: (line["notebook"], line["state"], line["points"])
        for line in lines_of(tmp_path / "out")
    }
    assert lines == {"ada": (ONE, "graded", "7"), "bo": ("", "other notebook", "")}
    page = (tmp_path / "out" / "students" / "bo.html").read_text()
    assert f"it is {TWO}; the assignment is {ONE}" in page


def test_one_student_is_graded_again_and_the_tables_keep_the_others(recorded, tmp_path, capsys):
    lay_out(tmp_path / "in", {"ada.ipynb": sheet(), "bo.ipynb": sheet()})
    command = [
        "grade",
        str(tmp_path / "in"),
        "--scores",
        str(tmp_path / "s.sqlite"),
        "--out",
        str(tmp_path / "out"),
    ]
    main(command)
    recorded.clear()
    (tmp_path / "out" / "students" / "bo.html").write_text("untouched")
    assert main([*command, "--student", "ada", "--again"]) == 0
    assert recorded == [("ada", "ada.ipynb")]
    assert [line["student"] for line in lines_of(tmp_path / "out")] == ["ada", "bo"]
    assert (tmp_path / "out" / "students" / "bo.html").read_text() == "untouched"
    assert main([*command, "--student", "adda"]) == 2
    assert "There is no adda. Did you mean ada?" in capsys.readouterr().err


def test_a_student_is_forgotten(recorded, tmp_path, capsys):
    path, out = tmp_path / "s.sqlite", tmp_path / "out"
    lay_out(tmp_path / "in", {"ada/secretword.ipynb": sheet(), "bo.ipynb": sheet()})
    (tmp_path / "marks.csv").write_text(f"{COLUMNS}ada,{ONE},discussion,1,2\n")
    scores = ["--scores", str(path), "--out", str(out)]
    main(["grade", str(tmp_path / "in"), *scores, "--marks", str(tmp_path / "marks.csv")])
    assert main(["grade", *scores, "--forget", "adda"]) == 2
    assert "Did you mean ada?" in capsys.readouterr().err
    assert main(["grade", *scores, "--forget", "ada"]) == 0
    assert "ada: 1 file, 4 verdicts, 1 mark by hand removed" in capsys.readouterr().out
    assert [line["student"] for line in lines_of(out)] == ["bo"]
    assert [path.name for path in (out / "students").iterdir()] == ["bo.html"]
    assert [path.name for path in (out / "results").iterdir()] == [f"bo-{ONE}.json"]
    for file in tmp_path.glob("s.sqlite*"):
        assert b"secretword" not in file.read_bytes()
    assert main(["grade", "--forget", "ada"]) == 2
    assert "name it with --scores" in capsys.readouterr().err


# Gradescope's autograder ----------------------------------------------------------------------------------


def test_the_gradescope_zip_is_bound_to_a_notebook_and_passes_the_exit_code_on(tmp_path, capsys):
    zipped, root = tmp_path / "autograder.zip", str(Path(__file__).parents[1])
    assert main(["grade", "--gradescope-zip", str(zipped), "--root", root, "--notebook", ONE]) == 0
    with zipfile.ZipFile(zipped) as archive:
        script = archive.read("run_autograder").decode()
    course = (
        lay_out(tmp_path, {"source/venv/bin/course": b'#!/bin/sh\necho "$@"\nexit 3\n'})
        / "source/venv/bin/course"
    )
    course.chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", script],
        env=os.environ | {"AUTOGRADER": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (
        done.stdout.split()
        == f"grade submission --jobs 1 --results results/results.json --notebook {ONE}".split()
    )
    assert done.returncode == 3
    assert main(["grade", "--gradescope-zip", str(zipped), "--root", root]) == 0
    with zipfile.ZipFile(zipped) as archive:
        assert "--notebook" not in archive.read("run_autograder").decode()


def test_no_old_results_are_left_where_the_grader_cannot_start(tmp_path, capsys, monkeypatch):
    def unavailable(*args, **options):
        raise children.LevelUnavailable("level full: no namespaces.")

    lay_out(tmp_path, {"submission/hw.ipynb": sheet(), "results.json": b'{"score": 7}'})
    monkeypatch.setattr(run, "run", unavailable)
    assert main(["grade", str(tmp_path / "submission"), "--results", str(tmp_path / "results.json")]) == 2
    assert not (tmp_path / "results.json").exists() and "no namespaces" in capsys.readouterr().err


def test_a_second_file_that_cannot_be_read_does_not_count_as_another_file_of_a_notebook():
    rows = [row("a", "f", "", "unreadable"), row("a", "g", "", "unreadable")]
    assert "another file" not in pages.feedback("a", rows, scoring.scores_of(rows, []))
