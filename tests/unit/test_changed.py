"""Which unit tests `make test-quick` runs."""

import pytest

from tests.changed import tests_of as chosen_for


@pytest.mark.parametrize(
    ("path", "test", "other"),
    [
        ("pardec/study/layers.py", "test_study_layers", "test_models_muon"),  # imported directly
        ("tests/unit/test_models_muon.py", "test_models_muon", "test_study_layers"),  # changed itself
        ("scripts/tabulate.py", "test_evidence_tables", "test_models_muon"),  # named
        ("pardec/evidence/ideas.py", "test_draft_study", "test_models_muon"),  # through a module of tests
    ],
)
def test_a_change_has_its_tests_and_not_all(path, test, other):
    chosen = chosen_for([path])
    assert f"tests/unit/{test}.py" in chosen and f"tests/unit/{other}.py" not in chosen


def test_nothing_changed_has_no_test():
    assert chosen_for([]) == []
