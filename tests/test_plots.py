"""The figures of the class's page: what is drawn is what is said, and when files came."""

import re
from datetime import datetime, timedelta, timezone

import pytest
from grading_helpers import FULL, ONE, graded

from course_utils.grading import late, pages, plots, scoring, store
from course_utils.grading.items import Item

START = datetime(2026, 11, 20, 8, 0, tzinfo=timezone.utc)


def page_of(all_points, hours=(), due=None):
    """The class's page; ``hours`` after START are when files were handed in."""
    rows = []
    for i, points in enumerate(all_points):
        at = (START + timedelta(hours=hours[i])).isoformat() if hours else ""
        graded_at = (START + timedelta(minutes=i)).isoformat()
        rows.append(store.Row(f"s{i:02}", "hw", graded(points), "full", "1", graded_at, at))
    policy = late.Policy(due=due, per_day=1.0)
    return pages.class_page(rows, scoring.scores_of(rows, [], policy))


def alts(page):
    return re.findall(r'role="img" aria-label="(.*?)"', page)


CLASS = [{}, {}, {"degrees": 0}, {"degrees": 0, "permute": 0}, {"split_links": 0}, {}]


def test_the_page_draws_points_and_says_how_many_have_how_many():
    assert alts(page_of(CLASS))[0] == "Students by points, out of 7: 3 with 7, 1 with 6, 2 with 4."
    assert "No total yet" in page_of([{"degrees": None}])


def test_points_against_time_are_drawn_with_the_due_date_and_late_files():
    page = page_of(CLASS, hours=[0, 1, 2, 3, 30, 31], due=START + timedelta(hours=24))
    of_points = next(alt for alt in alts(page) if alt.startswith("Points against the time when files were handed"))
    assert "4 in time with 6.0 on average, 2 late with 5.5 on average" in of_points
    assert "Due 2026-11-2" in of_points
    of_files = next(alt for alt in alts(page) if "files, handed in from" in alt)
    assert of_files.startswith("6 files")


def test_where_no_platform_says_when_the_time_of_grading_is_drawn_and_called_so():
    page = page_of(CLASS, due=START)
    assert any("when files were graded: 3 in the earlier half with 6.7" in alt for alt in alts(page))
    assert "handed in:" not in page and "Due" not in page


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("hours", [0.2, 3, 40, 110, 400, 4000])
def test_any_stretch_of_time_has_an_axis(hours):
    some = [plots.Arrival(START + timedelta(hours=hours * i / 5), i) for i in range(6)]
    assert "6 files" in plots.arrivals(some, 7, START + timedelta(hours=hours / 2)).alt


def test_one_moment_is_no_course_of_time():
    assert plots.arrivals([plots.Arrival(START, 1.0)] * 3, 7) is None


def test_agreement_is_drawn_by_name_and_left_out_where_none_is_known():
    picture = plots.agreement([Item("degrees", 0.5, 0.25), Item("permute", 1.0, None)])
    assert picture.alt.endswith("at most 1: degrees 0.25.")
    assert plots.agreement([Item("degrees", 0.5, None)]) is None


def test_figures_follow_the_pages_colors_and_their_ids_differ():
    page = page_of(CLASS, hours=[0, 1, 2, 3, 30, 31])
    assert page.count("<svg") == 4 and "currentColor" in page and "#0a0b0c" not in page
    ids = re.findall(r'\bid="(.*?)"', page)
    assert len(ids) == len(set(ids)) > 4


@pytest.mark.parametrize("earned", [[0, 0], [6.5, 7], [9, 1]])
def test_any_points_can_be_drawn(earned):
    assert plots.points(earned, sum(FULL[ONE].values())).alt.startswith("Students by points, out of 7: ")
