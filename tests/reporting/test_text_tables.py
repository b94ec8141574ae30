"""Tables in Markdown and LaTeX, whatever text the users have."""

import pytest

from vixml.reporting.table import comparison_table
from vixml.reporting.text_tables import latex_table, markdown_table


@pytest.fixture
def pair(study):
    study.add("encoder_text", 0.2)
    study.add("encoder_vision", 0.9)
    return study


def test_tables_in_markdown_and_latex(pair):
    report = pair.compare()
    table = comparison_table(report["variants"], report["baselines"], report["intervals"])
    value = 100 * report["variants"]["encoder_vision"]["metrics"]["P@1"]
    low, high = report["intervals"]["P@1"]["encoder_vision"]
    markdown = markdown_table(table, report).splitlines()
    assert markdown[0].startswith("**shop** · 80 test queries")
    assert len({line.count("|") for line in markdown[2:]}) == 1
    assert f"| encoder_vision | **{value:.2f}** ± {50 * (high - low):.2f} |" in markdown[-1]
    latex = latex_table(table, report)
    assert rf"encoder\_vision & \textbf{{{value:.2f}}}" in latex
    rows = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert len({line.count("&") for line in rows}) == 1


def test_text_of_users_does_not_break_the_tables(study):
    study.add("encoder_text", 0.5, name="50% of a|b_c")
    study.add("encoder_text", 0.6, seed=1)
    report = study.compare("encoder_text+encoder_text~1")
    table = comparison_table(report["variants"], None, report["intervals"])
    assert r"50% of a\|b_c" in markdown_table(table, report)
    assert r"50\% of a|b\_c" in latex_table(table, report)
