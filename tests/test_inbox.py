"""Where submissions come from: every way to hand in names its students, and loses none of them."""

import json
import os
import re
import tempfile
import zipfile
from pathlib import Path

import pytest
import submissions
from grading_helpers import ONE, TWO, lay_out, notebook_bytes, recorded, sheet  # noqa: F401  a fixture
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.cli import main
from course_utils.grading import entries, inbox, store


def test_canvas_and_gradescope_exports_and_folders_name_the_students(tmp_path):
    canvas = submissions.zipped(
        {
            "loveada_LATE_101_9001_hw1-2.ipynb": notebook_bytes(),
            "noetheremmy_102_9002_hw1.ipynb": notebook_bytes(),
            "nobody_103_9003_essay.pdf": b"%PDF",
            "noetheremmy_102_text.html": b"I forgot to say",
            "typed_late_105_text.html": b"print(1)",
            "__MACOSX/._x.ipynb": b"",
            "kovsofya_104_9004_all.zip": submissions.zipped(
                {
                    "hw/notebook.ipynb": notebook_bytes(),
                    "hw/.ipynb_checkpoints/notebook-checkpoint.ipynb": b"x",
                }
            ),
        }
    )
    (tmp_path / "canvas.zip").write_bytes(canvas)
    found = {f.student: f.name for f in inbox.submissions(tmp_path / "canvas.zip")}
    assert set(found) == {"loveada_101", "noetheremmy_102", "nobody_103", "kovsofya_104", "typed_105"}
    late = {f.student for f in inbox.submissions(tmp_path / "canvas.zip") if f.late}
    assert late == {"loveada_101", "typed_105"}
    with pytest.raises(ValueError, match="no notebook was handed in, but nobody_103_9003_essay.pdf"):
        next(f for f in inbox.submissions(tmp_path / "canvas.zip") if f.student == "nobody_103").content()

    metadata = (
        "submission_1:\n  :submitters:\n  - :name: Ada Love\n    :sid: '77'\n    :email: a@b.c\n  :score: 0\n"
        "submission_2:\n  :submitters:\n  - :name: E. N.\n"
    )
    export = submissions.zipped(
        {
            "assignment_5_export/submission_metadata.yml": metadata.encode(),
            "assignment_5_export/submission_1/a.ipynb": notebook_bytes(),
            "assignment_5_export/submission_2/b.ipynb": notebook_bytes(),
        }
    )
    (tmp_path / "gradescope.zip").write_bytes(export)
    assert [f.student for f in inbox.submissions(tmp_path / "gradescope.zip")] == ["77", "E. N."]

    for student in ("alice", "bob"):
        (tmp_path / "class" / student).mkdir(parents=True)
        (tmp_path / "class" / student / "homework").write_bytes(notebook_bytes())  # without a suffix
    assert [f.student for f in inbox.submissions(tmp_path / "class")] == ["alice", "bob"]
    (tmp_path / "odd").mkdir()
    open(os.fsencode(tmp_path / "odd") + b"/caf\xe9\x1b.ipynb", "wb").close()
    assert [f.student for f in inbox.submissions(tmp_path / "odd")] == [
        "caf\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"
    ]
    (tmp_path / "many.zip").write_bytes(
        submissions.zipped({f"a/{i}.ipynb": b"" for i in range(300)} | {"b/1.ipynb": b""})
    )
    many, one = inbox.submissions(tmp_path / "many.zip")
    with pytest.raises(ValueError, match="there are 300 notebooks; at most 200 are graded"):
        many.content()
    assert one.content() == b""
    with pytest.raises(ValueError, match="is not there. Name a notebook"):
        inbox.submissions(tmp_path / "nowhere")


def test_the_folder_of_a_student_who_handed_in_nothing_and_other_ways_to_hand_in(tmp_path):
    for name in ("nothing", "capitals", "deep"):
        (tmp_path / "class" / name).mkdir(parents=True)
    (tmp_path / "class" / "capitals" / "HW.IPYNB").write_bytes(notebook_bytes())
    inner = submissions.zipped({"hw/a.ipynb": notebook_bytes()})
    (tmp_path / "class" / "deep" / "all.zip").write_bytes(submissions.zipped({"inner.ZIP": inner}))
    (tmp_path / "class" / "Thumbs.db").write_bytes(b"x")
    found = {f.student: f for f in inbox.submissions(tmp_path / "class")}
    assert set(found) == {"nothing", "capitals", "deep"}
    assert found["capitals"].content() == found["deep"].content() == notebook_bytes()
    with pytest.raises(ValueError, match="no notebook was handed in. Hand in the notebook itself"):
        found["nothing"].content()
    unpacked = tmp_path / "unpacked" / "assignment_5_export"
    (unpacked / "submission_1").mkdir(parents=True)
    (unpacked / inbox.METADATA).write_text(
        "".join(
            f"submission_{i}:\n  :submitters:\n  - :name: {name}\n" for i, name in ((1, "Ada"), (2, "Bo"))
        )
    )
    (unpacked / "submission_1" / "a.ipynb").write_bytes(notebook_bytes())
    assert [f.student for f in inbox.submissions(tmp_path / "unpacked")] == ["Ada", "Bo"]
    assert {f.student for f in inbox.submissions(tmp_path / "class", "one")} == {"one"}


def test_one_file_of_canvas_alone_is_its_students(tmp_path):
    (tmp_path / "loveada_LATE_101_9001_hw1-2.ipynb").write_bytes(notebook_bytes())
    assert [f.student for f in inbox.submissions(tmp_path / "loveada_LATE_101_9001_hw1-2.ipynb")] == [
        "loveada_101"
    ]


def both_ways(folder, contents):
    """The same files as a folder and as a zip; a None is an empty folder."""
    folder.mkdir()
    with zipfile.ZipFile(folder / "packed.zip", "w") as archive:
        for name, content in contents.items():
            archive.writestr(name if content is not None else f"{name}/", content or b"")
    return lay_out(folder / "laid_out", contents), folder / "packed.zip"


def who(source, **options):
    """Student -> the names of the files that are graded; [] where none is."""
    found = {}
    for file in inbox.submissions(source, **options):
        found.setdefault(file.student, [])
        try:
            file.content()
        except ValueError:
            continue
        found[file.student].append(file.name)
    return found


NB = sheet()


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        ({"ada/hw-checkpoint.ipynb": NB, "bo/hw.ipynb": NB}, {"ada": 1, "bo": 1}),
        (
            {
                "ada/.ipynb_checkpoints/hw-checkpoint.ipynb": NB,
                "bo/hw.ipynb": NB,
                "bo/.ipynb_checkpoints/hw-checkpoint.ipynb": NB,
            },
            {"ada": 1, "bo": 1},
        ),
        ({"ada/hw.kept-1.ipynb": NB, "bo/hw.ipynb": NB, "bo/hw.kept-1.ipynb": NB}, {"ada": 1, "bo": 1}),
        ({"ada_1_1_hw-checkpoint.ipynb": NB, "bo_2_2_hw.ipynb": NB}, {"ada_1": 1, "bo_2": 1}),
        ({"ada-checkpoint.ipynb": NB, "bo.ipynb": NB}, {"ada-checkpoint": 1, "bo": 1}),
        (
            {
                "ada/.DS_Store": b"x",
                "bo/hw.ipynb": NB,
                "ci/hw.ipynb": NB,
                "__MACOSX/._x": b"",
                ".DS_Store": b"",
            },
            {"ada": 0, "bo": 1, "ci": 1},
        ),
        (
            {"ada/._hw.ipynb": b"x", "ada/Thumbs.db": b"x", "bo/hw.ipynb": NB, "ci/hw.ipynb": NB},
            {"ada": 0, "bo": 1, "ci": 1},
        ),
        ({"ada": None, "bo/hw.ipynb": NB, "ci": None}, {"ada": 0, "bo": 1, "ci": 0}),
        ({"class/ada/hw.ipynb": NB, "class/bo/hw.ipynb": NB}, {"ada": 1, "bo": 1}),
        (
            {"x/y/ada/hw.ipynb": NB, "x/y/bo/hw.ipynb": NB, "x/y/ci": None, "x/README.txt": b""},
            {"ada": 1, "bo": 1, "ci": 0},
        ),
        ({"class/ada.ipynb": NB, "class/bo.ipynb": NB, "class/ci.pdf": b""}, {"ada": 1, "bo": 1, "ci": 0}),
        ({"class/ada_1_1_hw.ipynb": NB, "class/bo_2_2_hw.pdf": b""}, {"ada_1": 1, "bo_2": 0}),
        ({"ada/hw.ipynb": NB, "ada/hw (1).ipynb": NB}, {"ada": 2}),
        ({f"ada/{ONE}.ipynb": NB, f"ada/{TWO}.ipynb": NB}, {"ada": 2}),
        ({"ada/hw.ipynb": NB, "ada/data.csv": b"1", "ada/old/notes.txt": b"1"}, {"ada": 1}),
        (
            {
                "ada/hw.ipynb": NB,
                "bo/hw.ipynb": NB,
                "roster.csv": b"",
                "notes.txt": b"",
                "s.sqlite-wal": b"",
                "s.sqlite": b"",
            },
            {"ada": 1, "bo": 1},
        ),
        ({"ada.ipynb": NB, "bo.pdf": b"", "ci.html": b"", "marks.csv": b""}, {"ada": 1, "bo": 0, "ci": 0}),
        (
            {
                "ada/hw.ipynb": NB,
                "bo/hw.ipynb": NB,
                "report/scores.csv": b"",
                "report/class.html": b"",
                "report/students/ada.html": b"",
            },
            {"ada": 1, "bo": 1},
        ),
        (
            {
                "class/ada/hw.ipynb": NB,
                "class/bo/hw.ipynb": NB,
                "report/scores.csv": b"",
                "report/class.html": b"",
            },
            {"ada": 1, "bo": 1},
        ),
        (
            {"ada/hw": NB, "bo/hw.ipynb.txt": NB, "ci/hw.json": NB, "do/notes.txt": b"{}"},
            {"ada": 1, "bo": 1, "ci": 1, "do": 0},
        ),
        (
            {"ada/hw.ipynb": NB, "ada/.git/config": b"", ".venv/lib/x.ipynb": NB, "bo/hw.ipynb": NB},
            {"ada": 1, "bo": 1},
        ),
    ],
    ids=lambda value: " ".join(value)[:60],
)
def test_nobody_vanishes_and_nobody_appears(tmp_path, contents, expected):
    for source in both_ways(tmp_path / "both", contents):
        assert {name: len(files) for name, files in who(source).items()} == expected, source


def test_an_upload_without_a_notebook_gets_results_that_say_so(recorded, tmp_path):
    for name in (".DS_Store", "essay.pdf", None):
        folder = lay_out(tmp_path / str(name), {"submission/" + (name or ""): name and b"x"})
        assert main(["grade", str(folder / "submission"), "--results", str(folder / "results.json")]) == 0
        results = json.loads((folder / "results.json").read_text())
        assert results["score"] == 0 and "no notebook was handed in" in results["output"]


@pytest.mark.parametrize("outer", [False, True])
def test_of_several_notebooks_of_one_name_in_a_zip_the_best_counts(recorded, tmp_path, outer):
    notebooks = [sheet({"permute": 0}), sheet(), sheet({"degrees": 0})]
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        zipfile.ZipFile(tmp_path / "all.zip", "w") as archive,
    ):
        for content in notebooks:
            archive.writestr("ada/hw.ipynb" if outer else "hw.ipynb", content)
        archive.writestr("bo/hw.ipynb" if outer else "\\hw.ipynb", sheet({"permute": 0}))
    if not outer:
        (tmp_path / "in").mkdir()
        (tmp_path / "all.zip").rename(tmp_path / "in" / "ada.zip")
    main(["grade", str(tmp_path / ("all.zip" if outer else "in")), "--scores", str(tmp_path / "s.sqlite")])
    scores = store.Scores(tmp_path / "s.sqlite")
    points = [row.graded.points for row in scores.rows() if row.student == "ada"]
    assert sorted(points) == ([5, 6, 7] if outer else [5, 5, 6, 7])


METADATA = """
submission_1:
  :submitters:
  - :name: Ada Love
    :sid: '77'
  - :name: Bo
    :email: bo@b.c
  :created_at: 2026-11-20 18:00:00.153847000 Z
submission_2:
  :submitters: []
submission_3:
  :submitters:
  - :name: Ci
    :sid: 0077
submission_4:
"""


def test_every_member_of_a_group_is_graded_and_an_entry_without_submitters_is_told(tmp_path):
    contents = {
        f"export/{inbox.METADATA}": METADATA.encode(),
        "export/submission_1/hw.ipynb": NB,
        "export/submission_2/hw.ipynb": NB,
        "export/submission_5/hw.ipynb": NB,
    }
    for source in both_ways(tmp_path / "both", contents):
        told = []
        found = who(source, tell=told.append)
        assert {name: len(files) for name, files in found.items()} == {"77": 1, "bo@b.c": 1, "0077": 0}
        assert [sentence.split(" ")[0] for sentence in told] == [
            "submission_2",
            "submission_4",
            "submission_5",
        ]
        assert {file.at for file in inbox.submissions(source) if file.student == "77"} == {
            "2026-11-20T18:00:00.153847+00:00"
        }
    with pytest.raises(ValueError, match="is not as Gradescope writes it"):
        inbox.submissions(lay_out(tmp_path / "odd", {inbox.METADATA: b"- 1"}))


def test_a_class_graded_from_inside_its_folder_finds_only_students(recorded, tmp_path, monkeypatch):
    lay_out(tmp_path, {"ada/hw.ipynb": sheet(), "bo/hw.ipynb": sheet()})
    (tmp_path / "points.csv").write_text("student,notebook,question,points,out_of\n")
    monkeypatch.chdir(tmp_path)
    for out in ("report", "."):
        command = ["grade", ".", "--scores", "grades", "--out", out, "--marks", "points.csv"]
        for more in (["--feedback", "pages.zip"], [], []):
            main([*command, *more])
            scores = store.Scores(tmp_path / "grades")
            assert {row.student for row in scores.rows()} == {"ada", "bo"}
            scores.close()


def test_a_zip_of_large_texts_is_not_read_to_the_end(tmp_path, monkeypatch):
    texts = {f"{i}.txt": b'{"cells": ' + bytes(1 << 20) for i in range(5)}
    lay_out(tmp_path, {"in/ada.zip": submissions.zipped(texts | {"hw.ipynb": NB})})
    amounts, read = [], zipfile.ZipExtFile.read
    monkeypatch.setattr(
        zipfile.ZipExtFile, "read", lambda file, size=-1: amounts.append(size) or read(file, size)
    )
    found = inbox.submissions(tmp_path / "in")
    assert len(found) == 6 and max(amounts) <= entries.PEEK and min(amounts) >= 0
    many = {f"{i:05}.txt": b"x" for i in range(1000)} | {"z/hw.ipynb": NB}
    lay_out(tmp_path, {"many/ada.zip": submissions.zipped(many)})
    amounts.clear()
    assert [file.name for file in inbox.submissions(tmp_path / "many")] == ["ada.zip/z/hw.ipynb"]
    assert len(amounts) <= inbox.MOST


def test_a_name_is_the_same_however_its_letters_are_composed(tmp_path):
    composed, apart = "M\N{LATIN SMALL LETTER U WITH DIAERESIS}ller", "Mu\N{COMBINING DIAERESIS}ller"
    lay_out(tmp_path, {f"in/{composed}/a.ipynb": NB, f"in/{apart}/b.ipynb": NB, "in/Bo /a.ipynb": NB})
    assert {name: len(files) for name, files in who(tmp_path / "in").items()} == {composed: 2, "Bo": 1}


PARTS = st.sampled_from(["ada", "bo", "class", "x y", "\u00dcn", ".git", "__MACOSX"])
KINDS = {
    "hw.ipynb": NB,
    "hw (1).ipynb": NB,
    "hw-checkpoint.ipynb": NB,
    "HW.IPYNB": NB,
    f"{ONE}.ipynb": NB,
    "hw.json": NB,
    "ada_1_1_hw.ipynb": NB,
    "bo_LATE_2_2_hw.pdf": b"x",
    "a.zip": submissions.zipped({"q/hw.ipynb": NB}),
    "bad.zip": b"PK",
    ".DS_Store": b"x",
    "notes.txt": b"x",
    "data.csv": b"1",
}
PATHS = st.tuples(st.lists(PARTS, max_size=3), st.sampled_from(sorted(KINDS)))


@settings(max_examples=80)
@given(st.lists(PATHS, min_size=1, max_size=7))
def test_in_any_folders_no_notebook_is_lost_and_a_zip_is_read_like_a_folder(paths):
    contents = {"/".join([*folders, name]): KINDS[name] for folders, name in paths}
    with tempfile.TemporaryDirectory() as folder:
        sources = both_ways(Path(folder, "both"), contents)
        try:
            found = [who(source) for source in sources]
        except ValueError as problem:
            assert "holds no file" in str(problem)
            found = [{}, {}]
    as_sets = [{name: set(files) for name, files in students.items()} for students in found]
    assert as_sets[0] == as_sets[1]
    graded = [name for files in found[0].values() for name in files]
    for path, content in contents.items():
        if content == NB and not re.search(r"\.git|__MACOSX", path):
            assert any(path.endswith(name) for name in graded), path


MOODLE = "Ada Love_300177_assignsubmission_"


@pytest.mark.parametrize(
    ("paths", "students"),
    [
        ([f"{MOODLE}file_/hw.ipynb", "Bo Li_300178_assignsubmission_file_/hw.ipynb"], {"Ada Love", "Bo Li"}),
        ([f"{MOODLE}file_/hw.ipynb"], {"Ada Love"}),
        ([f"class/{MOODLE}file_/part/hw.ipynb"], {"Ada Love"}),
        ([f"{MOODLE}file_hw.ipynb", "Bo_300178_assignsubmission_file_hw.ipynb"], {"Ada Love", "Bo"}),
        ([f"{MOODLE}file_/hw.ipynb", f"{MOODLE}onlinetext_/onlinetext.html"], {"Ada Love"}),
        (
            [f"{MOODLE}file_/hw.ipynb", "Ada Love_300179_assignsubmission_file_/hw.ipynb"],
            {"Ada Love_300177", "Ada Love_300179"},
        ),
    ],
)
def test_moodles_folders_and_files_are_their_students(tmp_path, paths, students):
    lay_out(tmp_path, {path: sheet() for path in paths})
    assert {file.student for file in inbox.submissions(tmp_path)} == students
