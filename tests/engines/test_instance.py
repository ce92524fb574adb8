"""Instance names, claimed by real processes: what two side by side get, and what one gets after it was killed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stream_retrain.engines.instance import claim_instance
from stream_retrain.errors import SettingsError

pytestmark = pytest.mark.slow

PACKAGE = Path(sys.modules["stream_retrain.engines.instance"].__file__ or "").parents[1]
HOST = socket.gethostname()
CLAIM = """
import os, sys, time, types
package = sys.modules["stream_retrain"] = types.ModuleType("stream_retrain")  # bare: the real one imports River, which takes a second
package.__path__ = [sys.argv[3]]
from stream_retrain.engines.instance import claim_instance
from stream_retrain.errors import SettingsError
try:
    print(claim_instance(sys.argv[1], sys.argv[2] or None).name, flush=True)
except SettingsError as error:
    print(f"refused: {error}", flush=True)
sys.stdin.read()
"""
FORK = """
child = os.fork()
if child == 0:
    time.sleep(60)
print(child, flush=True)
os._exit(0)
"""

Start = Callable[..., tuple["subprocess.Popen[str]", str]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path / f"stream_retrain-{os.geteuid()}"


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a process that claims a name and runs until it is killed; returns the process and the name."""
    with contextlib.ExitStack() as stack:

        def started(group: str = "g", instance: str = "", program: str = CLAIM) -> tuple[subprocess.Popen[str], str]:
            command = [sys.executable, "-c", program, group, instance, str(PACKAGE)]
            process = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            stack.callback(process.kill)
            assert process.stdout is not None
            return process, process.stdout.readline().strip()

        yield started


def test_two_workers_side_by_side_have_different_names_and_one_that_was_killed_has_its_own_again(start: Start) -> None:
    first, first_name = start()
    _, second_name = start()
    assert (first_name, second_name) == (f"{HOST}-0", f"{HOST}-1")
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert start()[1] == f"{HOST}-0"
    assert start()[1] == f"{HOST}-2"


def test_groups_do_not_share_numbers(start: Start) -> None:
    assert start("g")[1] == start("a/../:other group")[1] == f"{HOST}-0"


def test_a_given_instance_is_the_name_and_refused_while_a_process_has_it(start: Start) -> None:
    holder, name = start(instance="pod-7")
    assert name == "pod-7"
    refused = start(instance="pod-7")[1]
    assert refused.startswith(f"refused: instance: 'pod-7' of group 'g' is in use on this host, by process {holder.pid};")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert start(instance="pod-7")[1] == "pod-7"


def test_a_number_is_skipped_while_a_given_instance_has_its_name() -> None:
    with claim_instance("g", f"{HOST}-0"), claim_instance("g", None) as instance:
        assert instance.name == f"{HOST}-1"


def test_one_process_can_hold_several_and_release_them() -> None:
    with claim_instance("g", None) as first:
        with claim_instance("g", None) as second:
            assert (first.name, second.name) == (f"{HOST}-0", f"{HOST}-1")
        second.release()
        with claim_instance("g", None) as third:
            assert third.name == second.name


def test_a_name_is_held_although_nothing_refers_to_it(start: Start) -> None:
    # The process of `start` keeps no reference to its `Instance` after reading the name.
    start()
    assert claim_instance("g", None).name == f"{HOST}-1"


def test_a_forked_child_that_outlives_its_parent_does_not_keep_the_name(start: Start) -> None:
    parent, name = start(program=CLAIM.replace("sys.stdin.read()", FORK))
    assert name == f"{HOST}-0"
    assert parent.stdout is not None
    orphan = int(parent.stdout.readline())
    parent.wait()
    try:
        assert start()[1] == f"{HOST}-0"
    finally:
        os.kill(orphan, signal.SIGKILL)


def test_a_lock_file_that_was_removed_is_made_again(folder: Path) -> None:
    with claim_instance("g", None):
        pass
    for file in folder.iterdir():
        file.unlink()
    with claim_instance("g", None) as instance:
        assert instance.name == f"{HOST}-0"
        assert [file.read_text() for file in folder.iterdir()] == [str(os.getpid())]


def test_the_folder_is_for_this_user_alone(folder: Path) -> None:
    with claim_instance("g", None):
        assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("spoil", ["writable by others", "a link", "a file"])
def test_a_folder_that_others_could_write_to_is_not_used(folder: Path, tmp_path: Path, spoil: str) -> None:
    if spoil == "a file":
        folder.touch()
    elif spoil == "a link":
        (tmp_path / "elsewhere").mkdir()
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.mkdir()
        folder.chmod(0o777)
    with pytest.raises(SettingsError, match="set TMPDIR to a folder this user can write to"):
        claim_instance("g", None)
    with claim_instance("g", "pod-7") as instance:
        assert instance.name == "pod-7"
    assert not list(tmp_path.glob("*/*.lock"))
