"""Answers that are alike: what counts as the same, what proves nothing, and the page that shows them."""

import ast
import random
import sys
import textwrap

import pytest
import submissions
from grading_helpers import FULL, ONE, at_hand, graded  # noqa: F401  a fixture

from course_utils import exercises
from course_utils.cli import main
from course_utils.grading import forms, scoring, side_by_side, similar, store, submission
from course_utils.grading.forms import Form


def form_of(text):
    """The form of the last statement of a text, as a notebook with one cell has it."""
    text = textwrap.dedent(text)
    body = ast.parse(text).body
    return forms.form(body[-1], text, forms.imported(body))


def with_degrees(text):
    """Notebook 1 with this answer to degrees, and the master's to everything else."""
    notebook = submissions.filled()
    for cell in notebook["cells"]:
        if "def degrees" in "".join(cell["source"]):
            cell["source"] = text
    return notebook


WRITTEN = """
    import torch
    def degrees(edge_index, num_nodes):
        total = torch.zeros(num_nodes)
        for v, u in edge_index.T.tolist():
            total[u] += 1
        return torch.where(total > 0, input=total, other=total)
"""


@pytest.mark.parametrize("changed", [
    WRITTEN.replace("edge_index", "E").replace("total", "counts").replace("num_nodes", "n"),
    WRITTEN.replace("import torch", "import torch as t").replace("torch.", "t."),
    WRITTEN.replace("(edge_index, num_nodes)", "(edge_index: torch.Tensor, num_nodes: int) -> torch.Tensor"),
    WRITTEN.replace("total = torch.zeros", "'''How many arrive.'''\n        total: torch.Tensor = torch.zeros"),
    WRITTEN.replace("total[u] += 1", "# one more\n            total[ (u) ]+=1  # of them"),
    WRITTEN.replace("input=total, other=total", "other=total, input=total"),
    WRITTEN.replace("def degrees", "@torch.no_grad()\n    def counted"),
], ids=["names", "alias", "annotations", "docstring", "comments", "keywords", "decorator"])
def test_what_a_copy_can_change_without_a_thought_does_not_count(changed):
    assert changed != WRITTEN and form_of(changed).words == form_of(WRITTEN).words


@pytest.mark.parametrize("old, new", [
    ("> 0", "> 1"), ("torch.zeros", "torch.ones"), ("+= 1", "-= 1"), ("total[u]", "total[u, u]"),
    ("input=total, other", "other=total, input2"), (".T.", "."),
])
def test_what_is_computed_counts(old, new):
    assert old in WRITTEN and form_of(WRITTEN.replace(old, new)).words != form_of(WRITTEN).words


def test_each_word_has_the_line_of_the_code_that_it_is_on():
    answer = form_of(WRITTEN)
    code = answer.code.splitlines()
    words = answer.words.split(" ")
    assert code[0].startswith("def degrees") and len(words) == len(answer.places)
    assert {code[line - 1].strip() for word, line in zip(words, answer.places) if word == ".zeros"} == {
        "total = torch.zeros(num_nodes)"
    }


def test_an_init_that_is_given_is_left_out():
    layer = """
        class Layer(Module):
            def __init__(self, d):
                super().__init__()
                self.d = d
            def forward(self, h):
                return h + 1
    """
    assert form_of(layer).words == form_of(layer.replace("self.d = d", "self.width = 2 * d")).words


def test_a_strangers_answer_may_be_long_and_deep():
    long = form_of("def f(x):\n" + "    x = x + x\n" * 3000)
    assert len(long.places) == forms.MOST_WORDS and len(long.code) == forms.MOST_CODE
    assert Form.of_plain(vars(long)) == long
    deep = "def degrees(edge_index, num_nodes):\n    return " + " + ".join(["1"] * 700)
    notebook = with_degrees(deep)
    asked = {exercise.name: ONE for exercise in exercises.of_notebook(ONE)}
    reading = submission.read(submissions.as_bytes(notebook), asked)
    assert reading.answers["degrees"].form.words.count("Add") == 699


@pytest.mark.parametrize("data, error", [
    ({"code": 1, "words": "", "lines": ""}, TypeError),
    ({"code": "x" * (forms.MOST_CODE + 1), "words": "", "lines": ""}, ValueError),
    ({"code": "", "words": "a b", "lines": "1"}, ValueError),
    ({"code": "", "words": "a b", "lines": "1 x"}, ValueError),
    ({"code": "", "words": " ".join("a" * 5000), "lines": " ".join("1" * 5000)}, ValueError),
])
def test_a_form_that_is_none_is_refused(data, error):
    with pytest.raises(error):
        Form.of_plain(data)


# Pairs ---------------------------------------------------------------------------------------------------------------

METHODS = "sum mean amax amin prod abs sqrt exp log sin cos tanh relu flatten unique clone".split()


def written_by(seed, lines=8, name="x"):
    """An answer of so many lines, that no other seed gives."""
    rng = random.Random(seed)
    body = []
    for _ in range(lines):
        first, second = rng.choice(METHODS), rng.choice(METHODS)
        body.append(f"    {name} = {name}.{first}({rng.randrange(9)}) {rng.choice('+-*/')} {name}.{second}()")
    return "\n".join([f"def f({name}, n):", *body, f"    return {name}"])


def class_of(number):
    return {f"s{seed:03}": form_of(written_by(seed)) for seed in range(number)}


def test_of_a_class_only_the_copies_are_found_and_the_whole_copy_comes_first():
    answers = class_of(60)
    copied = written_by(7, name="features")
    answers["copy"] = form_of(copied)
    half = written_by(9).replace("    return x", "    x = x.sigmoid()\n    return x")
    answers["nearly"] = form_of(half)
    first, second = similar.pairs("f", answers)
    assert first.students == ("copy", "s007") and first.is_same and first.share == 1
    assert second.students == ("nearly", "s009") and similar.ALIKE <= second.share < 1
    line_of_its_own = half.splitlines().index("    x = x.sigmoid()") + 1
    assert line_of_its_own not in second.marked[0] and {2, 3, 4} <= second.marked[0]
    assert first.bits > 0 and first.bits * first.share >= second.bits * second.share


def test_what_many_wrote_proves_nothing_and_what_few_wrote_does():
    limit = similar.most_common(60)
    for copies, is_listed in ((limit, True), (limit + 1, False)):
        answers = class_of(60 - copies) | {f"t{i}": form_of(written_by(999)) for i in range(copies)}
        assert bool(similar.pairs("f", answers)) is is_listed
    assert (similar.most_common(40), similar.most_common(700)) == (5, 14)


def test_what_the_course_gave_proves_nothing():
    answers = class_of(20) | {"copy": form_of(written_by(7))}
    assert similar.pairs("f", answers) and not similar.pairs("f", answers, [form_of(written_by(7))])
    short = {f"s{i}": form_of("def f(x, n):\n    return x.sum(0) / n") for i in range(2)}
    assert not similar.pairs("f", short)


def test_a_large_class_is_not_compared_pair_by_pair(monkeypatch):
    marked, compared = similar._marked, []

    def counting(*args):
        compared.append(args)
        return marked(*args)

    monkeypatch.setattr(similar, "_marked", counting)
    answers = class_of(300) | {"copy": form_of(written_by(7))}
    assert [pair.students for pair in similar.pairs("f", answers)] == [("copy", "s007")]
    assert len(compared) == 1


@pytest.mark.parametrize("name", exercises.all_exercises())
def test_the_courses_own_forms_are_known(name):
    exercise = exercises.find(name)
    known = similar.known(exercise, submissions.ROOT)
    assert len(known) >= 2, "the library's and the master's, at least"
    master = similar._of_master(submissions.ROOT, exercise.notebook)[name]
    assert master in known
    for form in known:
        assert not similar.pairs(name, {"a": form, "b": form}, known)


# The page ------------------------------------------------------------------------------------------------------------

HOSTILE = '    """</pre><script>alert(1)</script>"""\n'


def page_of(answers, at=""):
    rows = [store.Row(name, "hw.ipynb", graded({}), "full", "1", "2024-01-01", at) for name in answers]
    stored = {(name, "hw.ipynb"): {"degrees": form_of(text)} for name, text in answers.items() if text}
    return side_by_side.page(scoring.scores_of(rows, []), stored, submissions.ROOT)


def test_the_page_says_that_it_proves_nothing_and_shows_both_codes_escaped():
    copy = written_by(7, name="features").replace("n):\n", "n):\n" + HOSTILE)
    answers = {f"s{seed}": written_by(seed) for seed in range(9)} | {"<b>Eve</b>": copy}
    page, number = page_of(answers)
    assert number == 1 and "This page proves nothing" in page
    assert page.index("proves nothing") < page.index("<h2>")
    assert "<script" not in page and "<b>Eve" not in page and "&lt;script&gt;" in page
    assert page.count("<pre>") == 2 and page.count("<mark>") > 10 and "the same tree" in page
    assert "<span>    &quot;&quot;&quot;&lt;/pre&gt;" in page, "a docstring is not shared"
    assert "http" not in page and "more than 5 of the 10 students" in page


def test_members_of_a_group_are_no_pair():
    answers = {"a": written_by(1), "b": written_by(1), "c": written_by(2)}
    assert page_of(answers)[1] == 1
    assert page_of(answers, at="2024-01-01T00:00:00+00:00")[1] == 0


def test_who_was_graded_before_forms_were_kept_is_named():
    page, number = page_of({"a": written_by(1), "old": ""})
    assert number == 0 and "graded by an earlier version: old." in page


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs the level full or container")
def test_the_forms_come_with_the_reading_and_are_stored(tmp_path, capsys, at_hand):
    folder, database = tmp_path / "in", tmp_path / "s.sqlite"
    folder.mkdir()
    for name in ("ada", "bob"):
        notebook = with_degrees(written_by(3, name=name).replace("def f(", "def degrees("))
        (folder / f"{name}.ipynb").write_bytes(submissions.as_bytes(notebook))
    page = tmp_path / "similar.html"
    main(["grade", str(folder), "--scores", str(database), "--similar", str(page)])
    assert "1 pair of students whose answers are alike; it proves nothing" in capsys.readouterr().out
    text = page.read_text()
    assert "ada and bob" in text and "<code>degrees</code>" in text
    assert text.count("<h3>") == 1, "the master's own is no pair"
    assert page.stat().st_mode & 0o077 == 0
    scores = store.Scores(database)
    assert set(scores.forms()["ada", "ada.ipynb"]) == set(FULL[ONE])
    main(["grade", str(folder), "--scores", str(database), "--forget", "ada"])
    scores.forget("bob")
    assert ("bob", "bob.ipynb") not in scores.forms()
    scores.close()
