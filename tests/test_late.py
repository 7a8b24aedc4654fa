"""Late submissions: which counts, and what a day costs."""

import zipfile
from datetime import datetime, timezone
from pathlib import PurePosixPath

import pytest
from grading_helpers import ONE, graded, lay_out, lines_of, recorded, sheet  # noqa: F401  a fixture

from course_utils.cli import main
from course_utils.grading import inbox, late, scoring, store

TIMES = {
    "Ada": "2026-11-20 18:00:00.5 Z",
    "Bo": "2026-11-21 17:59:00 Z",
    "Ci": "'2026-11-22T20:00:00+01:00'",
    "Do": "2026-11-20 17:00:00 Z",
}
METADATA = "".join(f"""
submission_{i}:
  :submitters:
  - :name: {name}
    :sid: '{i}'
  :created_at: {time}
""" for i, (name, time) in enumerate(TIMES.items(), start=1))
DUE = ["--due", "2026-11-20T18:00:00+00:00"]


@pytest.fixture
def export(tmp_path):
    """Gradescope's export of four, of whom three are late."""
    folders = {f"export/submission_{i}/hw.ipynb": sheet() for i in range(1, 5)}
    return lay_out(tmp_path / "in", folders | {f"export/{inbox.METADATA}": METADATA.encode()})


def points(out):
    return {line["student"]: (line["points"], line.get("days late")) for line in lines_of(out)}


@pytest.mark.parametrize(
    ("off", "expected"),
    [
        ([], {"1": ("7", "1"), "2": ("7", "1"), "3": ("7", "3"), "4": ("7", "0")}),
        (
            ["--off-per-day", "0.5"],
            {"1": ("6.5", "1"), "2": ("6.5", "1"), "3": ("5.5", "3"), "4": ("7", "0")},
        ),
        (
            ["--off-per-day", "10%"],
            {"1": ("6.3", "1"), "2": ("6.3", "1"), "3": ("4.9", "3"), "4": ("7", "0")},
        ),
        (["--off-per-day", "5"], {"1": ("2", "1"), "2": ("2", "1"), "3": ("0", "3"), "4": ("7", "0")}),
    ],
)
def test_days_after_the_due_date_cost_points(recorded, tmp_path, export, off, expected):
    assert main(["grade", str(export), "--out", str(tmp_path / "out"), *DUE, *off]) == 0
    assert points(tmp_path / "out") == expected
    page = (tmp_path / "out" / "students" / "3.html").read_text()
    assert "Handed in 3 days late" in page
    if off == ["--off-per-day", "0.5"]:
        assert "1.5 points off, 5.5 of 7 are left" in page
        results = (tmp_path / "out" / "results" / f"3-{ONE}.json").read_text()
        assert '"score": 5.5' in results and "1.5 points off" in results


def test_extensions_are_days_more_by_name(recorded, tmp_path, export, capsys):
    (tmp_path / "more.csv").write_text("student;days\n 1 ;1\nCi;2,5\n")
    (tmp_path / "roster.csv").write_text("Name,SID\nAda,1\nBo,2\nCi,3\nDo,4\nEm,5\n")
    command = [
        "grade",
        str(export),
        "--out",
        str(tmp_path / "out"),
        *DUE,
        "--off-per-day",
        "1",
        "--extensions",
        str(tmp_path / "more.csv"),
    ]
    assert main([*command, "--roster", str(tmp_path / "roster.csv")]) == 0
    assert points(tmp_path / "out")["1"] == ("7", "0") and points(tmp_path / "out")["3"] == ("7", "0")
    assert points(tmp_path / "out")["2"] == ("6", "1")
    assert main(command) == 2
    assert "line 3: There is no Ci." in capsys.readouterr().err
    (tmp_path / "more.csv").write_text("student,days\n1,many\n")
    assert main(command) == 2
    assert "line 2: could not convert" in capsys.readouterr().err


def test_canvas_marks_late_without_a_time(recorded, tmp_path, capsys):
    lay_out(tmp_path / "in", {"ada_LATE_1_11_hw.ipynb": sheet(), "bo_2_22_hw.ipynb": sheet()})
    command = [
        "grade",
        str(tmp_path / "in"),
        "--scores",
        str(tmp_path / "s.sqlite"),
        "--out",
        str(tmp_path / "out"),
        "--off-per-day",
        "1",
    ]
    main(command)
    assert points(tmp_path / "out") == {"ada_1": ("6", "1"), "bo_2": ("7", "0")}
    (tmp_path / "more.csv").write_text("student,days\nada_1,1\n")
    main([*command, "--extensions", str(tmp_path / "more.csv")])
    assert points(tmp_path / "out")["ada_1"] == ("7", None)
    capsys.readouterr()
    main(["grade", str(lay_out(tmp_path / "plain", {"ada.ipynb": sheet()})), *DUE])
    assert "no file says when it was handed in" in capsys.readouterr().err


def row(file, earned, at="", is_late=False):
    return store.Row(
        "a", file, graded({"split_links": earned}), "full", "1", "2024-01-01T00:00:00+00:00", at, is_late
    )


def at(day):
    return f"2026-11-{day:02}T12:00:00+00:00"


@pytest.mark.parametrize(
    ("counts", "per_day", "expected"),
    [("best", 0, "c"), ("best", 1.5, "b"), ("last", 0, "d"), ("first", 0, "a")],
)
def test_the_best_after_what_it_costs_or_the_last_or_the_first(counts, per_day, expected):
    rows = [row("d", 0, at(23)), row("b", 2, at(20)), row("c", 3, at(21)), row("a", 1, at(19))]
    policy = late.Policy(counts, datetime(2026, 11, 20, 18, tzinfo=timezone.utc), per_day)
    (score,) = scoring.scores_of(rows, [], policy)
    assert score.row.file == expected


def test_without_a_time_canvas_numbers_and_numbers_in_names_give_the_order():
    policy = late.Policy("last")
    canvas = [row("ada_1_900_hw.ipynb", 1), row("ada_LATE_1_1000_hw-1.ipynb", 2, "", True)]
    assert policy.order(canvas[1]) > policy.order(canvas[0])
    names = ["hw-10.ipynb", "hw-9.ipynb", "hw.ipynb"]
    assert [file.file for file in sorted((row(name, 0) for name in names), key=policy.order)] == [
        "hw.ipynb",
        "hw-9.ipynb",
        "hw-10.ipynb",
    ]


def test_a_date_is_over_when_its_day_is():
    assert late.due("2026-11-20") == late.due("2026-11-21 00:00")
    assert late.due("2026-11-20T18:00+02:00") == datetime(2026, 11, 20, 16, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    "arguments",
    [["--due", "tomorrow"], ["--off-per-day", "-1"], ["--off-per-day", "much"], ["--counts", "mean"]],
)
def test_wrong_policies_are_refused(tmp_path, capsys, arguments):
    with pytest.raises(SystemExit):
        main(["grade", str(tmp_path), *arguments])
    assert arguments[1] in capsys.readouterr().err


def test_feedback_goes_back_as_canvas_wants_it(recorded, tmp_path, capsys):
    contents = {
        "ada_LATE_1_11_hw-1.ipynb": sheet(),
        "ada_1_10_hw.ipynb": sheet({"degrees": 0}),
        "bo_2_22_hw.zip": b"no zip",
    }
    lay_out(tmp_path / "in", contents)
    assert main(["grade", str(tmp_path / "in"), "--feedback", str(tmp_path / "feedback.zip")]) == 0
    assert "feedback.zip, 2 pages" in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "feedback.zip") as archive:
        assert sorted(archive.namelist()) == ["ada_LATE_1_11_hw-1.html", "bo_2_22_hw.html"]
        assert all(inbox.CANVAS.match(PurePosixPath(name).name) for name in archive.namelist())
        assert b"7 of 7 points" in archive.read("ada_LATE_1_11_hw-1.html")
    main(
        [
            "grade",
            str(lay_out(tmp_path / "plain", {"Ada Love/hw.ipynb": sheet()})),
            "--feedback",
            str(tmp_path / "feedback.zip"),
        ]
    )
    with zipfile.ZipFile(tmp_path / "feedback.zip") as archive:
        assert archive.namelist()[0].startswith("Ada_Love-")


def test_a_later_report_is_made_with_the_options_of_the_last(recorded, tmp_path, export, capsys):
    (tmp_path / "more.csv").write_text("student,days\nBo,1\nCi,1\n")
    (tmp_path / "roster.csv").write_text("Name,SID\nAda,1\nBo,2\nCi,3\nDo,4\nEmmysecret,5\n")
    stored = ["--scores", str(tmp_path / "s.sqlite"), "--out", str(tmp_path / "out")]
    tables = ["--roster", str(tmp_path / "roster.csv"), "--extensions", str(tmp_path / "more.csv")]
    policy = [*DUE, "--off-per-day", "0.5", "--counts", "last", "--notebook", ONE]
    assert main(["grade", str(export), *stored, *tables, *policy]) == 0
    assert "As in the last report" not in capsys.readouterr().out
    (tmp_path / "roster.csv").unlink()
    (tmp_path / "more.csv").unlink()
    expected = {"1": ("6.5", "1"), "2": ("7", "0"), "3": ("6", "2"), "4": ("7", "0"), "Emmysecret": ("", "0")}
    assert points(tmp_path / "out") == expected
    assert main(["grade", *stored, "--forget", "Do"]) == 0
    assert (
        f"As in the last report: --notebook {ONE}, --due {DUE[1]}, --off-per-day 0.5, --counts last, "
        "--roster (4 names), --extensions (2 names)." in capsys.readouterr().out.splitlines()
    )
    del expected["4"]
    assert points(tmp_path / "out") == expected
    capsys.readouterr()
    assert main(["grade", str(export), *stored, "--due", "", "--off-per-day", "", "--extensions", ""]) == 0
    assert "--due" not in capsys.readouterr().out
    assert {line["points"] for line in lines_of(tmp_path / "out")} == {"7", ""}
    assert main(["grade", str(export), *stored, "--roster", ""]) == 0
    assert "name" not in lines_of(tmp_path / "out")[0]


def test_who_is_forgotten_is_in_no_remembered_table_either(recorded, tmp_path, export):
    (tmp_path / "more.csv").write_text("student,days\nBosecretname,1\n")
    (tmp_path / "roster.csv").write_text("Name,SID\nAda,1\nBosecretname,2\n" + "Other,\n" * 200)
    stored = ["--scores", str(tmp_path / "s.sqlite")]
    tables = ["--roster", str(tmp_path / "roster.csv"), "--extensions", str(tmp_path / "more.csv")]
    assert main(["grade", str(export), *stored, *tables]) == 0
    assert b"Bosecretname" in (tmp_path / "s.sqlite").read_bytes()
    assert main(["grade", *stored, "--forget", "Bosecretname"]) == 0
    for file in tmp_path.glob("s.sqlite*"):
        assert b"bosecretname" not in file.read_bytes().lower()


def test_an_extension_by_the_rosters_name_stays_when_the_file_comes_after_a_mark(recorded, tmp_path):
    (tmp_path / "roster.csv").write_text("student,ID\nBo Li,2\n")
    (tmp_path / "more.csv").write_text("student,days\nBo Li,1\n")
    (tmp_path / "marks.csv").write_text(f"student,notebook,question,points,out_of\nBo Li,{ONE},essay,1,1\n")
    lay_out(tmp_path / "in", {"ada_1_1_hw.ipynb": sheet()})
    command = ["grade", str(tmp_path / "in"), "--scores", str(tmp_path / "s.sqlite")]
    command += ["--out", str(tmp_path / "out"), "--off-per-day", "1"]
    tables = ["--roster", str(tmp_path / "roster.csv"), "--extensions", str(tmp_path / "more.csv")]
    assert main([*command, *tables, "--marks", str(tmp_path / "marks.csv")]) == 0
    lay_out(tmp_path / "in", {"libo_LATE_2_2_hw.ipynb": sheet()})
    assert main(command) == 0
    assert points(tmp_path / "out") == {"ada_1": ("7", None), "libo_2": ("8", None)}


def test_an_option_that_is_wrong_is_not_remembered(recorded, tmp_path, export, capsys):
    command = ["grade", str(export), "--scores", str(tmp_path / "s.sqlite")]
    assert main([*command, "--roster", str(tmp_path / "no.csv"), *DUE]) == 1
    assert main(command) == 0
    assert "As in the last report" not in capsys.readouterr().out
