"""scripts/redo.py: a run's folder is enough to repeat it, and differences are reported."""

import hashlib
import json
import shutil
import sys

import pandas as pd
import pytest

from agents.benchmark import workers
from agents.benchmark.run import execute
from agents.benchmark.run_folder import RunFolder, as_json
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
    """Change a run's record, and its checksum with it."""
    path = folder / "result.json"
    result = json.loads(path.read_text())
    result["row"] |= changes
    result["sha256"]["row"] = hashlib.sha256(as_json(result["row"])).hexdigest()
    path.write_text(json.dumps(result))


def test_a_repeated_run_gives_the_same_weights_in_another_process(out, capsys):
    redo.main(redo.Arguments((out / "runs" / RUNS[0].id,), trust=True))
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
    redo.main(redo.Arguments((out / "runs" / RUNS[1].id,), trust=True))
    assert "same evaluation, no weights" in capsys.readouterr().out
    assert not read_rows(out, "redone", REDONE)["same_weights"].item()


def test_a_difference_under_the_same_versions_is_an_error(out, capsys, here):
    folder = out / "runs" / RUNS[0].id
    rewrite(folder, nash_conv=0.5)
    with pytest.raises(SystemExit) as exit_:
        redo.main(redo.Arguments((out / "runs" / RUNS[1].id, folder), trust=True))
    assert exit_.value.code == 1
    output = capsys.readouterr().out.splitlines()
    assert output == [f"{RUNS[1].id}: same evaluation, no weights", f"{RUNS[0].id}: differs in nash_conv"]
    rows = read_rows(out, "redone", REDONE).set_index("run_id")
    assert rows["same_evaluation"].to_dict() == {RUNS[0].id: False, RUNS[1].id: True}


def test_a_difference_under_other_versions_is_not_an_error(out, capsys, here):
    folder = out / "runs" / RUNS[0].id
    versions = json.loads(execute(RUNS[0]).row["versions_json"])
    rewrite(folder, nash_conv=0.5, versions_json=json.dumps(versions | {"torch": "1.0"}))
    redo.main(redo.Arguments((folder,), trust=True))
    assert f"differs in nash_conv (torch 1.0 → {versions['torch']})" in capsys.readouterr().out
    assert not read_rows(out, "redone", REDONE)["same_versions"].item()


def test_other_weights_with_the_same_evaluation(out, capsys, here):
    rewrite(out / "runs" / RUNS[0].id, weights="0" * 64)
    redo.main(redo.Arguments((out / "runs" / RUNS[0].id,), trust=True))
    assert "same evaluation, other weights" in capsys.readouterr().out


def test_a_copy_of_a_folder_outside_the_sweep_is_enough(out, tmp_path, capsys, here):
    folder = shutil.copytree(out / "runs" / RUNS[0].id, tmp_path / "alone")
    redo.main(redo.Arguments((folder,), trust=True))
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
        redo.main(redo.Arguments((out / "runs" / RUNS[1].id, folder), trust=True))
    output = capsys.readouterr()
    assert str(folder) in output.err
    assert output.out == ""


@pytest.mark.parametrize("link", ["redone", "redone/tiny"])
def test_links_are_not_followed_out_of_the_sweep(out, tmp_path, capsys, link):
    (tmp_path / "elsewhere").mkdir()
    (out / link).parent.mkdir(exist_ok=True)
    (out / link).symlink_to(tmp_path / "elsewhere")
    message = refused(capsys, redo.main, redo.Arguments((out / "runs" / RUNS[0].id,), trust=True))
    assert "must hold no symbolic links" in message
    assert not list((tmp_path / "elsewhere").iterdir())


def test_code_that_a_folder_names_is_not_imported_unasked(out, tmp_path, capsys, here, monkeypatch):
    module = tmp_path / "never_imported.py"
    module.write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    folder = out / "runs" / RUNS[1].id
    name_algorithm(folder, "never_imported:train")
    message = refused(capsys, redo.main, redo.Arguments((folder,)))
    assert "names code of its own, 'never_imported:train'; --trust imports and runs it" in message
    assert "never_imported" not in sys.modules


@pytest.mark.parametrize("place", [".", "runs", "runs/{run}", "runs/{run}/a_package"])
def test_code_in_the_folder_of_a_run_is_never_imported(out, capsys, here, monkeypatch, place):
    folder, name = out / "runs" / RUNS[1].id, "smuggled" if "package" not in place else "a_package"
    path = out / place.format(run=RUNS[1].id)
    path.mkdir(exist_ok=True)
    (path / ("__init__.py" if "package" in place else "smuggled.py")).write_text(
        "raise SystemExit('imported')"
    )
    monkeypatch.syspath_prepend(path.parent if "package" in place else path)
    name_algorithm(folder, f"{name}:train")
    message = refused(capsys, redo.main, redo.Arguments((folder,), trust=True))
    assert "code must not come from the folder of a run" in message
    assert name not in sys.modules


def test_a_folder_alone_is_searched_too(out, tmp_path, capsys, here, monkeypatch):
    folder = shutil.copytree(out / "runs" / RUNS[1].id, tmp_path / "alone")
    (folder / "smuggled_alone.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend("")
    name_algorithm(folder, "smuggled_alone:train")
    assert "must not come from" in refused(capsys, redo.main, redo.Arguments((folder,), trust=True))


def test_a_module_that_does_not_exist_is_refused(out, capsys):
    folder = out / "runs" / RUNS[1].id
    name_algorithm(folder, "no_such_module:train")
    assert "there is no module" in refused(capsys, redo.main, redo.Arguments((folder,), trust=True))


def name_algorithm(folder, algorithm):
    """Change the algorithm that a run's folder names, and its checksum with it."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"algorithm": algorithm}))
    record = folder / "result.json"
    result = json.loads(record.read_text())
    result["sha256"]["config.json"] = hashlib.sha256(path.read_bytes()).hexdigest()
    record.write_text(json.dumps(result))


def test_a_sweep_in_use_is_refused(out, capsys, here):
    with RunFolder(out, "sweep", resume=True):
        message = refused(capsys, redo.main, redo.Arguments((out / "runs" / RUNS[1].id,), trust=True))
    assert f"{out} is in use by another process" in message
    assert not (out / "redone").exists()


@pytest.mark.parametrize("used", [0, 1])
def test_of_two_sweeps_neither_is_touched_where_one_is_in_use(out, tmp_path, capsys, here, used):
    sweeps = [out, shutil.copytree(out, tmp_path / "other")]
    with RunFolder(sweeps[used], "sweep", resume=True):
        folders = tuple(sweep / "runs" / RUNS[1].id for sweep in sweeps)
        locked = [(sweep / ".lock").exists() for sweep in sweeps]
        assert "in use by another process" in refused(capsys, redo.main, redo.Arguments(folders, trust=True))
        assert [(sweep / ".lock").exists() for sweep in sweeps] == locked
    for sweep in sweeps:
        RunFolder(sweep, "sweep", resume=True).close()


@pytest.mark.parametrize("content", ["mine", "folder", "table"])
def test_what_is_no_comparison_is_not_replaced(out, capsys, here, content):
    path = out / "redone" / f"{RUNS[1].id}.parquet"
    path.parent.mkdir(parents=True)
    if content == "folder":
        path.mkdir()
    elif content == "table":
        pd.DataFrame({"mine": [1]}).to_parquet(path)
    else:
        path.write_text(content)
    message = refused(capsys, redo.main, redo.Arguments((out / "runs" / RUNS[1].id,), trust=True))
    assert str(path) in message
    assert path.is_dir() == (content == "folder")
    assert content != "mine" or path.read_text() == "mine"
