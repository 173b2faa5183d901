"""The command line: what it prints, what it writes, and how it fails."""

import platform
import subprocess
import sys
from importlib import metadata

import pytest

from pyseq import __version__, _core, cli, demo


@pytest.fixture
def small(monkeypatch):
    """Few lines, so that an epoch is a moment."""
    monkeypatch.setattr(demo, "N_TRAIN", 40)
    monkeypatch.setattr(demo, "N_TEST", 10)


@pytest.fixture
def no_training(monkeypatch):
    """Fail if the model is made."""

    def fail(**options):
        raise AssertionError("the training began")

    monkeypatch.setattr(demo, "make_transcriber", fail)


class TestInfo:
    @pytest.fixture
    def rows(self, capsys):
        assert cli.main(["info"]) == 0
        rows = (line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line)
        return {row[0]: row[1] for row in rows}

    def test_tells_versions(self, rows):
        assert rows["pyseq"] == __version__
        assert rows["python"].startswith(platform.python_version())
        for name in ("numpy", "scipy", "scikit-learn", "tqdm", "safetensors", "rapidfuzz"):
            assert rows[name] == metadata.version(name)

    def test_tells_processor_and_threads(self, rows):
        assert rows["threads"].startswith(f"{_core.get_num_threads()} of ")
        assert rows["tier"] == f"{_core.active_tier()} of {', '.join(_core.available_tiers())}"
        assert rows["compiler"] == _core.compiler()
        assert rows["cpu"]

    def test_tells_settings_of_the_environment(self, monkeypatch):
        monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
        monkeypatch.delenv("OMP_PROC_BIND", raising=False)
        assert "passive" in cli.info()
        assert "OMP_PROC_BIND" not in cli.info()

    def test_a_dependency_may_be_missing(self, monkeypatch):
        monkeypatch.setattr(cli, "DEPENDENCIES", ("numpy", "no-such-distribution"))
        assert "no-such-distribution  not installed" in cli.info()

    def test_runs_as_a_module(self):
        command = [sys.executable, "-m", "pyseq", "info"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        assert metadata.version("numpy") in done.stdout
        assert done.stderr == ""

    def test_a_reader_that_leaves_is_no_error(self):
        command = f"{sys.executable} -u -m pyseq info | head -n 0; echo ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
        assert done.stderr == ""
        assert done.stdout.strip() in ("0", "141")


class TestDemo:
    def test_prints_results_and_writes_a_picture(self, small, tmp_path, capsys):
        pytest.importorskip("matplotlib")
        picture = tmp_path / "lines.png"
        assert cli.main(["demo", "--epochs", "1", "--output", str(picture)]) == 0
        printed = capsys.readouterr()
        assert "Character error rate on lines of unseen scans: " in printed.out
        assert "CTCTranscriber: 100%" in printed.err
        assert "> LSTM(bidirectional=True, hidden_size=64) > CTC\n" in printed.out
        assert str(picture) in printed.out
        assert picture.read_bytes().startswith(b"\x89PNG")

    def test_five_transcriptions_stand_beside_the_truth(self, small, capsys):
        assert cli.main(["demo", "--epochs", "1", "--no-plot", "--seed", "7"]) == 0
        lines = demo.load_digit_lines(40, 10, random_state=7)
        shown = capsys.readouterr().out.splitlines()[-demo.N_SHOWN :]
        assert [row.split()[0] for row in shown] == lines.y_test[: demo.N_SHOWN]

    def test_without_a_picture_nothing_is_written(self, small, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert cli.main(["demo", "--epochs", "1", "--no-plot"]) == 0
        assert list(tmp_path.iterdir()) == []

    def test_without_matplotlib_results_come_first_and_the_extra_is_named(
        self, small, tmp_path, monkeypatch, capsys
    ):
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        for name in [name for name in sys.modules if name.startswith("matplotlib.")]:
            monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.chdir(tmp_path)
        assert cli.main(["demo", "--epochs", "1"]) == 1
        printed = capsys.readouterr()
        assert "Character error rate" in printed.out
        assert "pip install 'pyseq[plot]'" in printed.err.splitlines()[-1]
        assert list(tmp_path.iterdir()) == []

    def test_a_missing_folder_is_told_before_the_training(self, no_training, tmp_path, capsys):
        assert cli.main(["demo", "--output", str(tmp_path / "none" / "lines.png")]) == 1
        assert "there is no folder" in capsys.readouterr().err

    def test_a_folder_is_no_place_for_a_picture(self, no_training, tmp_path, capsys):
        assert cli.main(["demo", "--output", str(tmp_path)]) == 1
        assert "is a folder, expected a file name" in capsys.readouterr().err

    @pytest.mark.parametrize("name", ["lines", "lines.txt"])
    def test_an_unknown_format_is_told_before_the_training(self, no_training, tmp_path, capsys, name):
        pytest.importorskip("matplotlib")
        assert cli.main(["demo", "--output", str(tmp_path / name)]) == 1
        assert "expected a name that ends in one of: " in capsys.readouterr().err

    @pytest.mark.parametrize(
        "options", [["--epochs", "0"], ["--epochs", "many"], ["--seed", "-1"], ["--seed", str(2**32)]]
    )
    def test_a_wrong_number_is_refused(self, no_training, options, capsys):
        with pytest.raises(SystemExit, match="2"):
            cli.main(["demo", *options])
        assert options[0] in capsys.readouterr().err

    def test_an_interrupt_ends_it_quietly(self, monkeypatch, capsys):
        def interrupt(*arguments, **options):
            raise KeyboardInterrupt

        monkeypatch.setattr(demo, "load_digit_lines", interrupt)
        assert cli.main(["demo", "--no-plot"]) == 130
        assert capsys.readouterr().err == "interrupted\n"

    def test_it_reads_lines_of_unseen_scans(self, capsys):
        assert demo.run_demo(output=None) <= 0.05


def test_a_command_is_needed(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main([])
    assert "command" in capsys.readouterr().err


def test_the_table_counts_edits():
    assert demo.transcription_table(["858613", "47", ""], ["858613", "742", "9"]) == (
        "  truth   read\n"
        "  858613  858613\n"
        "  742     47      2 edits\n"
        "  9               1 edit"
    )  # fmt: skip


def test_the_command_line_starts_without_what_only_a_command_needs():
    code = "import sys, pyseq.cli; print(*{'matplotlib', 'torch', 'tqdm', 'rapidfuzz'} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == ""
