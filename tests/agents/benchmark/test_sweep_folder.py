"""What a sweep writes to disk, and how it resumes after anything that may have happened to it."""

import errno
import json
import shutil
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
import pytest

from agents.atomic_files import write_record
from agents.benchmark import store, sweep_folder
from agents.benchmark.run import execute
from agents.benchmark.store import read_rows
from agents.benchmark.sweep_folder import SweepFolder, read_folder
from mesa_env import Game
from tests.agents.benchmark.test_run import tiny_run

RUNS = [tiny_run(seed=seed, stretch=1.0) for seed in (0, 1)] + [tiny_run("network"), tiny_run("raising")]
FINISHED, FAILED = RUNS[:3], RUNS[3:]


@dataclass(frozen=True)
class Described:
    """Arguments that a sweep could have been called with."""


def keep_runs(out, runs):
    """Execute runs and keep them in a new sweep's folder."""
    grid = out.parent / "grid.toml"
    grid.write_text("")
    with SweepFolder(out, resume=False) as sweep:
        sweep.describe(Described(), grid)
        for run in runs:
            sweep.keep(run, execute(run))


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A sweep whose runs have all ended: three have finished and one has failed."""
    out = tmp_path_factory.mktemp("sweeps") / "sweep"
    keep_runs(out, RUNS)
    return out


@pytest.fixture
def out(kept, tmp_path):
    """A copy of it, to damage."""
    return shutil.copytree(kept, tmp_path / "sweep")


def unfinished(out, runs=RUNS):
    with SweepFolder(out, resume=True) as sweep:
        return sweep.find_unfinished(runs)


def contents(folder):
    """Every path below a folder, links not followed, with its bytes if it is a file."""
    paths = sorted(path for path in folder.rglob("*"))
    return {path.relative_to(folder): path.read_bytes() if path.is_file() else None for path in paths}


def left_over(out):
    return [path for path in out.rglob(".*") if path.name != ".lock"]


class TestKeeping:
    def test_every_run_is_one_folder_and_one_row(self, kept):
        rows = read_rows(kept)
        assert sorted(rows["run_id"]) == sorted(run.id for run in RUNS)
        assert {
            str(path.parent.relative_to(kept / "runs")) for path in kept.glob("runs/**/config.json")
        } == set(rows["run_id"])
        assert left_over(kept) == []

    def test_a_folder_says_what_was_run_and_where(self, kept):
        folder = kept / "runs" / RUNS[2].id
        assert {path.name for path in folder.iterdir()} == {
            "config.json",
            "environment.json",
            "model.zip",
            "result.json",
        }
        assert json.loads((folder / "config.json").read_text())["game"]["rules"] == "DeceptiveAlignment"
        assert json.loads((folder / "environment.json").read_text())["versions"]["numpy"] == np.__version__
        assert read_folder(folder)[0] == RUNS[2]

    @pytest.mark.parametrize("fails_at", [1, 3, 5])
    def test_a_full_disk_is_reported_in_one_sentence_and_what_was_there_is_kept(
        self, out, monkeypatch, fails_at
    ):
        write, calls = store.write_atomically, []

        def full(path, content):
            calls.append(path)
            if len(calls) == fails_at:
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            write(path, content)

        another = tiny_run("network", seed=7)
        result = execute(another)
        for module in (store, sweep_folder):
            monkeypatch.setattr(module, "write_atomically", full)
        with SweepFolder(out, resume=True) as sweep:
            with pytest.raises(ValueError, match=r"^[^\n]*No space left on device[^\n]*--resume[^\n]*$"):
                sweep.keep(another, result)
            assert left_over(out) == []
            assert sweep.find_unfinished([*FINISHED, another]) == ([another] if fails_at < 5 else [])
        assert len(read_rows(out)) == len(RUNS) + (fails_at == 5)


class TestResuming:
    def test_finished_runs_are_skipped_and_failed_ones_retried(self, out):
        assert unfinished(out) == FAILED
        another = tiny_run(seed=9, stretch=1.0)
        assert unfinished(out, [another, *RUNS]) == [another, *FAILED]

    def test_a_second_attempt_replaces_one_that_failed(self, out):
        run = FAILED[0]
        result = execute(RUNS[0])
        with SweepFolder(out, resume=True) as sweep:
            sweep.keep(run, result._replace(row=result.row | {"run_id": run.id}))
        assert not (out / "runs" / run.id / "traceback.txt").exists()
        assert len(read_rows(out)) == len(RUNS)
        assert (read_rows(out)["status"] == "finished").all()

    def test_rows_are_restored_from_their_folders(self, out):
        before = {path: path.read_bytes() for path in (out / "data").rglob("*.parquet")}
        shutil.rmtree(out / "data")
        assert unfinished(out) == FAILED
        assert {path: path.read_bytes() for path in (out / "data").rglob("*.parquet")} == before

    def test_a_row_of_an_earlier_attempt_is_updated(self, out):
        path = out / "data" / f"{RUNS[0].id}.parquet"
        current = path.read_bytes()
        shutil.copy(out / "data" / f"{RUNS[1].id}.parquet", path)
        unfinished(out)
        assert path.read_bytes() == current

    def test_files_that_a_killed_process_left_half_written_are_removed(self, out):
        folder = out / "runs" / RUNS[0].id
        half = folder.parent / f".{folder.name}.mesa-env-partial"
        half.mkdir()
        (half / "config.json").write_bytes(b"whole")
        (half / ".model.zip.123.mesa-env-partial").write_bytes(b"half")
        (
            out / "data" / f"{folder.relative_to(out / 'runs').parent}" / ".0.parquet.123.mesa-env-partial"
        ).write_bytes(b"half")
        assert unfinished(out) == FAILED
        assert left_over(out) == []

    def test_a_folder_with_a_sweep_is_not_written_to_by_accident(self, out, tmp_path):
        with pytest.raises(ValueError, match=r"already holds a run of sweep: add --resume"):
            SweepFolder(out, resume=False)
        with pytest.raises(ValueError, match=r"--resume needs a run of sweep to continue"):
            SweepFolder(tmp_path / "other", resume=True)

    @pytest.mark.parametrize(
        "hidden", [".env", ".git/config", "runs/.notes", "data/.git/config", "data/.env"]
    )
    def test_hidden_files_of_the_user_are_kept(self, out, hidden):
        (out / hidden).parent.mkdir(exist_ok=True, parents=True)
        (out / hidden).write_text("mine")
        before = contents(out)
        assert unfinished(out) == FAILED
        assert contents(out) == before

    def test_a_second_attempt_keeps_what_the_user_added_to_the_first(self, out):
        folder = out / "runs" / FAILED[0].id
        (folder / "notes.txt").write_text("mine")
        (folder / ".cache").mkdir()
        (folder / ".cache" / "more").write_text("mine")
        with SweepFolder(out, resume=True) as sweep:
            sweep.keep(FAILED[0], execute(FAILED[0]))
        assert (folder / "notes.txt").read_text() == (folder / ".cache" / "more").read_text() == "mine"
        assert read_folder(folder)[0] == FAILED[0]

    @pytest.mark.parametrize("resume", [False, True])
    @pytest.mark.parametrize(
        "held", [".env", "data/.git/config", "grid.toml", "config.json", "runs/notes", "environment.json"]
    )
    def test_a_folder_with_other_content_is_refused_untouched(self, tmp_path, held, resume):
        (tmp_path / held).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / held).write_text('{"command": "train"}')
        before = contents(tmp_path)
        with pytest.raises(ValueError, match=r"holds a run of train|new or empty folder"):
            SweepFolder(tmp_path, resume=resume)
        assert contents(tmp_path) == before

    @pytest.mark.parametrize("name", [".lock", "runs", "data", "config.json", "grid.toml", "data/tiny"])
    def test_links_are_not_followed_out_of_the_folder(self, out, tmp_path, name):
        elsewhere = tmp_path / "elsewhere"
        path = out / name
        if name == ".lock":
            elsewhere.write_text("mine")
            path.unlink()
        else:
            path.rename(elsewhere)
        path.symlink_to(elsewhere)
        before = contents(elsewhere) if elsewhere.is_dir() else elsewhere.read_bytes()
        with pytest.raises(ValueError, match=r"must hold no symbolic links; [^\n]* is one$"):
            unfinished(out)
        assert before == (contents(elsewhere) if elsewhere.is_dir() else elsewhere.read_bytes())

    def test_a_folder_that_a_killed_sweep_had_just_started_can_be_used_again(self, tmp_path):
        (tmp_path / ".lock").write_text("")
        write_record(tmp_path, {"config.json": []})
        (tmp_path / ".config.json.123.mesa-env-partial").write_text("{")
        with SweepFolder(tmp_path, resume=False):
            pass

    def test_the_lock_keeps_its_content(self, out):
        (out / ".lock").write_text("mine")
        with pytest.raises(ValueError, match=r"\.lock must be an empty file"):
            unfinished(out)
        assert (out / ".lock").read_text() == "mine"

    def test_only_one_process_at_a_time_writes_to_it(self, out):
        with SweepFolder(out, resume=True), pytest.raises(ValueError, match="in use by another"):
            SweepFolder(out, resume=True)
        with SweepFolder(out, resume=True):
            pass

    @pytest.mark.parametrize(
        ("other", "words"),
        [
            (tiny_run(stretch=2.0), r"different run: its parameters.stretch was 1.0 and is now 2.0$"),
            (tiny_run(game=Game(discount=0.5), stretch=1.0), r"game.\w+ was"),
        ],
    )
    def test_a_different_run_with_the_same_id_is_refused(self, out, other, words):
        with pytest.raises(ValueError, match=words):
            unfinished(out, [other])

    @pytest.mark.parametrize("name", ["config.json", "result.json", "model.zip", "environment.json"])
    @pytest.mark.parametrize("damage", ["missing", "truncated", "garbled"])
    def test_a_damaged_folder_is_named_and_then_run_again(self, out, name, damage):
        folder = out / "runs" / RUNS[2].id
        content = (folder / name).read_bytes()
        if damage == "missing":
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(content[:-20] if damage == "truncated" else b"\x00\xff" + content[2:])
        with pytest.raises(
            ValueError, match=r"^[^\n]*tiny/sweep_algorithms.network/100/0[^\n]*moved out of its sweep[^\n]*$"
        ):
            unfinished(out)
        shutil.rmtree(folder)
        assert unfinished(out) == [RUNS[2], *FAILED]

    @pytest.mark.parametrize("damage", ["truncated", "garbled", "empty", "columns", "rows"])
    def test_a_damaged_row_is_named_by_readers_and_restored(self, out, damage):
        path = out / "data" / f"{RUNS[0].id}.parquet"
        content, table = path.read_bytes(), pq.read_table(path, partitioning=None)
        if damage == "columns":
            pq.write_table(table.drop_columns(["weights"]), path)
        elif damage == "rows":
            pq.write_table(table.slice(0, 0), path)
        else:
            path.write_bytes({"truncated": content[:-9], "garbled": b"\x00" * 99, "empty": b""}[damage])
        with pytest.raises(ValueError, match=r"^[^\n]*100/0.parquet[^\n]*--resume restores it[^\n]*$"):
            read_rows(out)
        unfinished(out)
        assert path.read_bytes() == content


def test_a_file_cannot_hold_a_sweep(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="writable"):
        SweepFolder(tmp_path / "file" / "sweep", resume=False)
