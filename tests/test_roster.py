"""The class as its learning platform lists it."""

import csv

import pytest
from grading_helpers import ONE, lay_out, lines_of, recorded, sheet  # noqa: F401  a fixture

from course_utils.cli import main
from course_utils.grading import roster

CANVAS = """Student,ID,SIS User ID,SIS Login ID,Section,HW (77)
    Points Possible,,,,,7
"Love, Ada",101,S1,alove,Sec A,
"M\u00fcller, Bo",102,S2,bm@uni.edu,Sec A,
"Noether, Emmy",103,S3,enoether,Sec B,
"Student, Test",999,,,,
"""
GRADESCOPE = """First Name,Last Name,SID,Email,Role
Ada,Love,S1,alove@uni.edu,Student
Bo,M\u00fcller,S2,bm@uni.edu,Student
"""
MOODLE = """Vorname;First name;Surname;ID number;Email address
x;Ada;Love;S1;alove@uni.edu
x;Bo;M\u00fcller;S2;bm@uni.edu
"""


def written(folder, text, encoding="utf-8-sig"):
    (folder / "roster.csv").write_text(text, encoding)
    return folder / "roster.csv"


@pytest.mark.parametrize(
    "text",
    [
        CANVAS,
        GRADESCOPE,
        MOODLE,
        "student\nAda Love\nBo M\u00fcller\n",
        'name\n"Love, Ada"\n"M\u00fcller, Bo"\n',
    ],
)
def test_rosters_of_every_platform_name_the_class(tmp_path, text):
    people = roster.read(written(tmp_path, text))
    ada, bo = people.people[:2]
    for student in ("Ada Love", "ada love", "Love, Ada", " Ada  Love", "loveada_101", "Ada_Love", "love-ada"):
        assert people.person(student) is ada
    for student in ("Bo M\u00fcller", "Bo Mu\u0308ller"):
        assert people.person(student) is bo
    if "S1" in text:
        assert people.person("S1") is people.person("alove") is ada and people.person("bm@uni.edu") is bo
    assert people.person("somebody") is None


def test_a_name_that_two_people_have_is_nobodys(tmp_path):
    people = roster.read(written(tmp_path, "name,SID\nAda Love,1\nAda Love,2\n"))
    assert people.person("Ada Love") is None and people.person("2") is people.people[1]


@pytest.mark.parametrize(
    ("text", "words"),
    [("a,b\n1,2\n", "lists nobody. Its first line should name a column"), ("", "lists nobody")],
)
def test_a_table_without_people_is_refused(tmp_path, text, words):
    with pytest.raises(ValueError, match=words):
        roster.read(written(tmp_path, text))


def test_who_is_missing_and_everybodys_name_as_on_the_platform(recorded, tmp_path, capsys):
    lay_out(
        tmp_path / "in",
        {
            "loveada_101_1_hw.ipynb": sheet(),
            "mllerbo_102_2_hw.ipynb": sheet({"degrees": 0}),
            "guest_7_3_hw.ipynb": sheet(),
        },
    )
    command = [
        "grade",
        str(tmp_path / "in"),
        "--out",
        str(tmp_path / "out"),
        "--roster",
        str(written(tmp_path, CANVAS)),
    ]
    (tmp_path / "marks.csv").write_text(
        f'student,notebook,question,points,out_of\n"Love, Ada",{ONE},discussion,2,2\n'
    )
    assert main([*command, "--marks", str(tmp_path / "marks.csv")]) == 0
    message = capsys.readouterr().err
    assert (
        "Nothing came from 1 of 3 on the roster: Noether, Emmy." in message
        and "does not list guest_7" in message
    )
    lines = {line["student"]: line for line in lines_of(tmp_path / "out")}
    assert lines["loveada_101"]["name"] == "Love, Ada" and lines["loveada_101"]["points"] == "9"
    assert (
        lines["Noether, Emmy"]["state"],
        lines["Noether, Emmy"]["points"],
        lines["guest_7"]["name"],
    ) == ("nothing handed in", "", "")
    assert "Nothing came from Noether, Emmy." in (tmp_path / "out" / "class.html").read_text()
    assert not list((tmp_path / "out" / "students").glob("*oether*"))
    main([*command, "--canvas", "HW (77)"])
    by_id = {line["ID"]: line for line in lines_of(tmp_path / "out")}
    assert list(by_id["102"].values()) == ["M\u00fcller, Bo", "102", "S2", "bm@uni.edu", "Sec A", "6"]
    assert by_id["103"]["HW (77)"] == "" and by_id["7"]["Student"] == "guest" and len(by_id) == 4


def test_a_roster_inside_the_folder_is_no_student(recorded, tmp_path, monkeypatch):
    lay_out(tmp_path, {"ada/hw.ipynb": sheet()})
    monkeypatch.chdir(tmp_path)
    with open("class list", "w", newline="") as file:
        csv.writer(file).writerows([["student"], ["ada"]])
    assert main(["grade", ".", "--roster", "class list"]) == 0
    assert recorded == [("ada", "ada/hw.ipynb")]


def test_a_login_with_an_underscore_is_not_the_one_with_a_hyphen(tmp_path):
    people = roster.read(written(tmp_path, "name,login\nAda Love,a_love\nAnn Love,a-love\n"))
    assert people.person("a_love") is people.people[0] and people.person("a-love") is people.people[1]
    assert people.person("a love") is None
