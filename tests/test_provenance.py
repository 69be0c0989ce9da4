"""Versions of packages, the git commit, the machine and the device."""

import importlib.metadata
import os
import subprocess
import tomllib
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import galr
from galr import provenance

ROOT = Path(__file__).parents[1]


def install(folder, name, version, *needs, extras=()):
    """Write the metadata of an installed package without files."""
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir()
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    lines += [f"Provides-Extra: {extra}" for extra in extras]
    lines += [f"Requires-Dist: {need}" for need in needs]
    (metadata / "METADATA").write_text("\n".join(lines) + "\n")


def test_dependency_versions_has_direct_and_indirect_dependencies_only(tmp_path, monkeypatch):
    install(tmp_path, "root", "1", "Wall_Paper>=1", "roof[slate]", 'moat; sys_platform == "none"', 'sauna; extra == "luxury"', extras=["luxury"])  # fmt: skip
    install(tmp_path, "wall-paper", "2.5", "glue", "root")  # a cycle
    install(tmp_path, "roof", "3", 'stone; extra == "slate"', 'straw; extra == "thatch"', extras=["slate", "thatch"])  # fmt: skip
    for name in ("glue", "stone", "straw", "moat", "sauna", "unrelated"):
        install(tmp_path, name, "7")
    monkeypatch.syspath_prepend(tmp_path)
    versions = provenance.dependency_versions("root")
    assert versions == {"glue": "7", "roof": "3", "stone": "7", "wall-paper": "2.5"}
    assert list(versions) == sorted(versions)


def test_dependency_versions_has_every_dependency_of_this_package():
    versions = provenance.dependency_versions()
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    for need in map(Requirement, needs):
        key = canonicalize_name(need.name)
        assert versions[key] == importlib.metadata.version(need.name), key
    assert "galr" not in versions and "pytest" not in versions


def commit(folder, *words):
    who = ["-c", "user.name=x", "-c", "user.email=x@y"]
    subprocess.run(["git", "-C", folder, *who, *words], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository that contains a package called galr."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    package = tmp_path / "galr"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(galr, "__file__", str(package / "__init__.py"))
    commit(tmp_path, "init", "--quiet")
    return tmp_path


def test_git_state_has_the_commit_and_whether_files_differ(checkout):
    commit(checkout, "add", ".")
    commit(checkout, "commit", "--quiet", "--message", "one")
    clean = provenance.git_state()
    assert len(clean["commit"]) == 40 and clean["dirty"] is False
    (checkout / "notes.txt").write_text("not tracked")
    assert provenance.git_state() == clean
    (checkout / "galr/__init__.py").write_text("changed = True\n")
    assert provenance.git_state() == clean | {"dirty": True}
    assert provenance.code_versions()["commit"] == f"{clean['commit'][:7]}-dirty"


def test_the_repository_of_another_project_is_ignored(checkout):
    (checkout / ".gitignore").write_text("galr\n")
    commit(checkout, "add", ".")
    commit(checkout, "commit", "--quiet", "--message", "theirs")
    assert provenance.git_state() == {} and "commit" not in provenance.code_versions()


def test_a_machine_without_git_is_supported(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert provenance.git_state() == {} and provenance.code_versions()["galr"] == galr.__version__


def test_the_processor_is_named_and_its_usable_cores_counted(tmp_path, monkeypatch):
    cpus = tmp_path / "cpuinfo"
    cpus.write_text("processor\t: 0\nmodel name\t: Some CPU @ 2: fast\n\nprocessor\t: 1\n")
    monkeypatch.setattr(provenance, "CPUINFO", cpus)
    info = provenance.machine_info()
    assert info["processor"] == "Some CPU @ 2: fast"
    assert info["cores"] == len(os.sched_getaffinity(0))
    monkeypatch.setattr(provenance, "CPUINFO", tmp_path / "none")
    assert provenance.machine_info()["processor"]


def test_a_cpu_has_only_a_name():
    assert provenance.device_info("cpu") == {"name": "cpu"}


@pytest.mark.gpu
def test_a_gpu_has_its_model_and_software_versions():
    info = provenance.device_info("cuda:0")
    assert info["gpu"] == torch.cuda.get_device_name(0) and info["cuda"] == torch.version.cuda
    assert info["memory"] > 1e9 and info["driver"]
