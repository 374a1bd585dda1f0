"""The doctor names what is wrong, and survives it."""

import json
import sys

import pytest

from dense_cl import cli, doctor


def whats(problems: list[doctor.Problem]) -> str:
    return "\n".join(problem.what for problem in problems)


@pytest.mark.parametrize(
    "version, fine", [((3, 9), False), ((3, 10), True), ((3, 12), True), ((3, 13), False)]
)
def test_python_version(version, fine):
    assert (doctor.check_python(version) == []) is fine


def test_packages_missing_and_out_of_range():
    requires = [
        "albumentations>=2.0.8,<2.1",
        "timm>=1",
        "torch>=2.4",
        'wandb>=1; extra == "tracking"',
    ]
    installed = {"albumentations": "1.4.11", "torch": "2.12.1+cu130"}
    versions, problems = doctor.check_packages(requires, installed.get)
    assert versions == {"albumentations": "1.4.11", "timm": None, "torch": "2.12.1+cu130"}
    assert [p.what for p in problems] == [
        "albumentations 1.4.11 is outside albumentations<2.1,>=2.0.8",
        "timm is not installed",
    ]
    assert problems[1].mend == "pip install 'timm>=1'"


def test_upstream_packages_clash():
    (problem,) = doctor.check_clashes({"mmcv": "2.1.0"}.get)
    assert "mmcv 2.1.0" in problem.what
    assert problem.mend.startswith("pip uninstall -y mmcv && pip install --force-reinstall")


@pytest.mark.parametrize(
    "error, mend",
    [
        (
            "RuntimeError('operator torchvision::nms does not exist')",
            "torch 2.N with",
        ),
        (
            "ImportError('libGL.so.1: cannot open shared object file')",
            "--force-reinstall --no-deps some-package",
        ),
        ("SystemError('built for another numpy')", "--force-reinstall --no-deps some-package"),
    ],
)
def test_broken_module(monkeypatch, tmp_path, error, mend):
    (tmp_path / "broken_module.py").write_text(f"raise {error}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (problem,) = doctor.check_imports({"json": "python", "broken_module": "some-package"})
    assert "'import broken_module' fails" in problem.what
    assert mend in problem.mend


def test_torchvision_for_another_torch(monkeypatch):
    import torchvision

    def missing(*args):
        raise RuntimeError("Couldn't load custom C++ ops.\nmore")

    monkeypatch.setattr(torchvision.ops, "nms", missing)
    problems = doctor.check_vision_operators()
    assert "do not run on cpu" in problems[0].what and "more" not in problems[0].what
    assert "matching pair" in problems[0].mend


def test_folder_that_cannot_be_written(monkeypatch, tmp_path):
    # Removed under our feet: root may write to a read-only folder, nobody to this one.
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert "cannot write to the current folder" in whats(doctor.check_storage())


def test_small_shared_memory(monkeypatch, tmp_path):
    usage = type("usage", (), {"total": 64 * 2**20})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    assert "64 MiB" in whats(doctor.check_storage(str(tmp_path)))


def test_a_broken_package_is_reported_and_the_exit_status_is_one(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "webdataset", None)  # import webdataset now fails
    file = tmp_path / "doctor.json"
    assert cli.main(["doctor", "--json", str(file)]) == 1
    assert "'import webdataset' fails" in capsys.readouterr().out
    findings = json.loads(file.read_text())
    assert any("webdataset" in problem["what"] for problem in findings["problems"])
    assert findings["devices"]["cpu_cores"] >= 1


def test_this_environment_is_healthy(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "check_storage", lambda *_: [])  # of the machine, not of it
    status = cli.main(["doctor"])
    output = capsys.readouterr().out
    assert status == 0, output
    assert "roi_align                  torchvision" in output or "compiled" in output


def test_a_file_that_cannot_be_written_is_one_line(capsys, tmp_path):
    assert cli.main(["doctor", "--json", str(tmp_path / "nowhere" / "x.json")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "nowhere/x.json' No such file or directory" in error
