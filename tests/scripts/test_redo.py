"""scripts/redo.py: a run's folder is enough to repeat it, and differences are reported."""

import json
import shutil

import pytest

from agents.benchmark import workers
from agents.benchmark.run import execute
from agents.benchmark.store import REDONE, read_rows
from scripts import redo
from tests.agents.benchmark.test_run import tiny_run
from tests.agents.benchmark.test_sweep_folder import keep_runs
from tests.conftest import refused

RUNS = [tiny_run("network"), tiny_run(stretch=1.0)]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A sweep of two finished runs and one that failed."""
    out = tmp_path_factory.mktemp("sweeps") / "sweep"
    keep_runs(out, [*RUNS, tiny_run("raising")])
    return out


@pytest.fixture
def out(kept, tmp_path):
    return shutil.copytree(kept, tmp_path / "sweep")


@pytest.fixture
def here(monkeypatch):
    """Runs execute in this process, which is faster."""

    def results(_, runs):
        yield from ((run, execute(run)) for run in runs)

    monkeypatch.setattr(workers.LocalWorkers, "results", results)


def rewrite(folder, **changes):
    """Change a run's record."""
    path = folder / "result.json"
    result = json.loads(path.read_text())
    result["row"] |= changes
    path.write_text(json.dumps(result))


def test_a_repeated_run_gives_the_same_weights_in_another_process(out, capsys):
    redo.main(redo.Arguments((out / "runs" / RUNS[0].id,)))
    assert capsys.readouterr().out.strip() == f"{RUNS[0].id}: same weights, bit for bit"
    (comparison,) = read_rows(out, "redone", REDONE).to_dict("records")
    assert comparison == {
        "run_id": RUNS[0].id,
        "algorithm": RUNS[0].algorithm,
        "game": "tiny",
        "same_weights": True,
        "same_evaluation": True,
        "same_versions": True,
    }


def test_agents_without_weights_are_compared_by_their_evaluation(out, capsys, here):
    redo.main(redo.Arguments((out / "runs" / RUNS[1].id,)))
    assert "same evaluation, no weights" in capsys.readouterr().out
    assert not read_rows(out, "redone", REDONE)["same_weights"].item()


def test_a_difference_under_the_same_versions_is_an_error(out, capsys, here):
    folder = out / "runs" / RUNS[0].id
    rewrite(folder, nash_conv=0.5)
    with pytest.raises(SystemExit) as exit_:
        redo.main(redo.Arguments((out / "runs" / RUNS[1].id, folder)))
    assert exit_.value.code == 1
    output = capsys.readouterr().out.splitlines()
    assert output == [f"{RUNS[1].id}: same evaluation, no weights", f"{RUNS[0].id}: differs in nash_conv"]
    rows = read_rows(out, "redone", REDONE).set_index("run_id")
    assert rows["same_evaluation"].to_dict() == {RUNS[0].id: False, RUNS[1].id: True}


def test_a_difference_under_other_versions_is_not_an_error(out, capsys, here):
    folder = out / "runs" / RUNS[0].id
    versions = json.loads(execute(RUNS[0]).row["versions_json"])
    rewrite(folder, nash_conv=0.5, versions_json=json.dumps(versions | {"torch": "1.0"}))
    redo.main(redo.Arguments((folder,)))
    assert f"differs in nash_conv (torch 1.0 → {versions['torch']})" in capsys.readouterr().out
    assert not read_rows(out, "redone", REDONE)["same_versions"].item()


def test_other_weights_with_the_same_evaluation(out, capsys, here):
    rewrite(out / "runs" / RUNS[0].id, weights="0" * 64)
    redo.main(redo.Arguments((out / "runs" / RUNS[0].id,)))
    assert "same evaluation, other weights" in capsys.readouterr().out


def test_a_copy_of_a_folder_outside_the_sweep_is_enough(out, tmp_path, capsys, here):
    folder = shutil.copytree(out / "runs" / RUNS[0].id, tmp_path / "alone")
    redo.main(redo.Arguments((folder,)))
    assert "same weights, bit for bit" in capsys.readouterr().out
    assert not (out / "redone").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", "must be the folder of a run; there is no such folder"),
        ("tiny/sweep_algorithms.raising/100/0", "only finished runs"),
        (None, "none"),
    ],
)
def test_bad_input_is_refused(out, capsys, name, words):
    with pytest.raises(SystemExit) as exit_:
        redo.main(redo.Arguments((out / "runs" / name,) if name else ()))
    assert exit_.value.code == 2
    message = capsys.readouterr().err.strip()
    assert words in message
    assert "\n" not in message


def test_a_damaged_folder_is_refused_before_any_work(out, capsys):
    folder = out / "runs" / RUNS[0].id
    (folder / "config.json").write_text((folder / "config.json").read_text()[:-30])
    with pytest.raises(SystemExit):
        redo.main(redo.Arguments((out / "runs" / RUNS[1].id, folder)))
    output = capsys.readouterr()
    assert str(folder) in output.err
    assert output.out == ""


@pytest.mark.parametrize("link", ["redone", "redone/tiny"])
def test_links_are_not_followed_out_of_the_sweep(out, tmp_path, capsys, link):
    (tmp_path / "elsewhere").mkdir()
    (out / link).parent.mkdir(exist_ok=True)
    (out / link).symlink_to(tmp_path / "elsewhere")
    message = refused(capsys, redo.main, redo.Arguments((out / "runs" / RUNS[0].id,)))
    assert "must hold no symbolic links" in message
    assert not list((tmp_path / "elsewhere").iterdir())
