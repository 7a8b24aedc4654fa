"""Where submissions come from: every way to hand in names its students, and loses none of them."""

import os

import pytest
import submissions
from grading_helpers import notebook_bytes

from course_utils.grading import inbox


def test_canvas_and_gradescope_exports_and_folders_name_the_students(tmp_path):
    canvas = submissions.zipped({"loveada_LATE_101_9001_hw1-2.ipynb": notebook_bytes(), "noetheremmy_102_9002_hw1.ipynb": notebook_bytes(),
                                 "nobody_103_9003_essay.pdf": b"%PDF", "__MACOSX/._x.ipynb": b"", "kovsofya_104_9004_all.zip": submissions.zipped(
                                     {"hw/notebook.ipynb": notebook_bytes(), "hw/.ipynb_checkpoints/notebook-checkpoint.ipynb": b"x"})})
    (tmp_path / "canvas.zip").write_bytes(canvas)
    found = {f.student: f.name for f in inbox.submissions(tmp_path / "canvas.zip")}
    assert set(found) == {"loveada_101", "noetheremmy_102", "nobody_103", "kovsofya_104"}
    with pytest.raises(ValueError, match="no notebook was handed in, but nobody_103_9003_essay.pdf"):
        next(f for f in inbox.submissions(tmp_path / "canvas.zip") if f.student == "nobody_103").content()

    metadata = "submission_1:\n  :submitters:\n  - :name: Ada Love\n    :sid: '77'\n    :email: a@b.c\n  :score: 0\nsubmission_2:\n  :submitters:\n  - :name: E. N.\n"
    export = submissions.zipped({"assignment_5_export/submission_metadata.yml": metadata.encode(),
                                 "assignment_5_export/submission_1/a.ipynb": notebook_bytes(), "assignment_5_export/submission_2/b.ipynb": notebook_bytes()})
    (tmp_path / "gradescope.zip").write_bytes(export)
    assert [f.student for f in inbox.submissions(tmp_path / "gradescope.zip")] == ["77", "E. N."]

    for student in ("alice", "bob"):
        (tmp_path / "class" / student).mkdir(parents=True)
        (tmp_path / "class" / student / "homework").write_bytes(notebook_bytes())  # without a suffix
    assert [f.student for f in inbox.submissions(tmp_path / "class")] == ["alice", "bob"]
    (tmp_path / "odd").mkdir()
    open(os.fsencode(tmp_path / "odd") + b"/caf\xe9\x1b.ipynb", "wb").close()
    assert [f.student for f in inbox.submissions(tmp_path / "odd")] == ["caf\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"]
    (tmp_path / "many.zip").write_bytes(submissions.zipped({f"a/{i}.ipynb": b"" for i in range(300)} | {"b/1.ipynb": b""}))
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
    (unpacked / inbox.METADATA).write_text("".join(
        f"submission_{i}:\n  :submitters:\n  - :name: {name}\n" for i, name in ((1, "Ada"), (2, "Bo"))))
    (unpacked / "submission_1" / "a.ipynb").write_bytes(notebook_bytes())
    assert [f.student for f in inbox.submissions(tmp_path / "unpacked")] == ["Ada", "Bo"]
    assert {f.student for f in inbox.submissions(tmp_path / "class", "one")} == {"one"}


def test_one_file_of_canvas_alone_is_its_students(tmp_path):
    (tmp_path / "loveada_LATE_101_9001_hw1-2.ipynb").write_bytes(notebook_bytes())
    assert [f.student for f in inbox.submissions(tmp_path / "loveada_LATE_101_9001_hw1-2.ipynb")] == ["loveada_101"]
