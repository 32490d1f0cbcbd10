"""Every damaged file is refused in one sentence, or is still legal; none ends in a traceback."""

import pytest

from tests.faults import bad_calls, damaged_files


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    return folder, damaged_files.prepare(folder)


@pytest.mark.parametrize("kind", damaged_files.KINDS)
def test_a_whole_file_is_accepted(kind, prepared, tmp_path, monkeypatch):
    """The files below are refused for their damage."""
    monkeypatch.setitem(damaged_files.DAMAGE, "none", lambda content, _: content)
    with bad_calls.no_work():
        assert damaged_files.judge_case(*prepared, tmp_path / "copy", (kind, "none", 0)) == ""


def test_damaged_files_are_refused_in_one_sentence(prepared, tmp_path, times, record_faults):
    wrong, cases = [], list(damaged_files.cases(120 * times, seed=0))
    assert {kind for kind, _, _ in cases} == set(damaged_files.KINDS)
    with bad_calls.no_work():
        for number, case in enumerate(cases):
            if reason := damaged_files.judge_case(*prepared, tmp_path / str(number), case):
                wrong.append((case, reason))
    record_faults("damaged files given to commands", len(cases), wrong)
