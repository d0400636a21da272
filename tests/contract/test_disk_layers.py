"""What every sandbox and the layers made with it must do, on each that works on this host."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from goldsmith.disk.assemble import boot_files, plan_assembly, plan_to_json
from goldsmith.disk.errors import StepFailedError
from goldsmith.disk.kinds import Kind
from goldsmith.disk.layers import Layer, LayerStore
from goldsmith.disk.model import Bind, FileWrite, StepCommand
from goldsmith.disk.sandbox import LinuxSandbox, Sandbox, candidates
from goldsmith.disk.seal import sparse_sha256
from goldsmith.disk.tree import Manifest, load_manifest
from goldsmith.kernel import proc
from goldsmith.kernel.cancel import CancelFlag
from goldsmith.kernel.errors import CanceledError, CorruptError, InvalidInputError, NotFoundError

EPOCH = 1764000000
WAIT_SECONDS = 120
PROGRAMS = (
    "sh",
    "bash",
    "cat",
    "ls",
    "rm",
    "mkdir",
    "rmdir",
    "chmod",
    "chown",
    "ln",
    "mv",
    "sleep",
    "touch",
    "id",
)
OPTIONAL_PROGRAMS = ("setcap",)
# Set by the test that runs this file as another user: what root got from the same input, and where root
# writes it.
EXPECTED_DIGEST = "GOLDSMITH_TEST_LAYER_DIGEST"
EXPECTED_DISK = "GOLDSMITH_TEST_DISK_SHA256"
EXPECTED_WRITE = "GOLDSMITH_TEST_WRITE"


def parameters() -> list[ParameterSet]:
    # The ways without overlayfs copy whole trees and are nobody's first choice.
    return [
        pytest.param(found, id=found.name, marks=[pytest.mark.long] if "copy" in found.name else [])
        for found in candidates()
    ]


@pytest.fixture(scope="module", params=parameters())
def sandbox(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    found: LinuxSandbox = request.param
    problem = found.problem(tmp_path_factory.mktemp("probe"))
    if problem is not None:
        pytest.skip(f"{found.name}: {problem}")
    return found


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base") / "root")


@pytest.fixture
def store(sandbox: Sandbox, tmp_path: Path) -> Iterator[LayerStore]:
    yield LayerStore(tmp_path / "store", sandbox)
    # Without root only the owner of the trees can remove them, which pytest is not.
    sandbox.call("remove", {"path": str(tmp_path / "store")})


@pytest.fixture
def run(store: LayerStore, base: Path, tmp_path: Path) -> Callable[..., Layer]:
    def made(key: str, script: str, *parents: Layer, **options: object) -> Layer:
        command = StepCommand(script=script.encode(), **options)  # type: ignore[arg-type] # checked there
        log = tmp_path / f"{key}.log"
        return store.run(key, base=base, parents=parents, command=command, log=log, epoch=EPOCH)

    return made


def make_base(root: Path) -> Path:
    """A root of the host's own programs, just enough for a shell."""
    found = [shutil.which(name) for name in PROGRAMS]
    assert all(found), "a host without a shell cannot run these tests"
    found += [
        path for name in OPTIONAL_PROGRAMS if (path := shutil.which(name, path="/usr/sbin:/sbin:/usr/bin"))
    ]
    libraries: set[str] = set()
    for path in filter(None, found):
        listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
        libraries.update(re.findall(r"(/\S+\.so\S*)", listed))
    for folder in ("usr/bin", "usr/sbin", "etc", "srv/old", "root", "tmp", "var"):
        (root / folder).mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    for path in filter(None, found):
        shutil.copy(path, root / "usr/bin" / Path(path).name)
    for library in libraries:
        target = root / library.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/keep").write_text("below\n")
    (root / "srv/old/file").write_text("old\n")
    for place in sorted(root.rglob("*"), reverse=True):
        os.utime(place, (EPOCH - 1000, EPOCH - 1000), follow_symlinks=False)
    root.chmod(0o755)
    os.utime(root, (EPOCH - 1000, EPOCH - 1000))
    return root


def manifest(layer: Layer) -> Manifest:
    return load_manifest(layer.manifest)


def paths(layer: Layer) -> list[str]:
    return [entry.path for entry in manifest(layer).entries]


def expected(name: str, value: str) -> str:
    """The value that the first sandbox of this run, or root before it, came to."""
    if EXPECTED_WRITE in os.environ:
        Path(f"{os.environ[EXPECTED_WRITE]}.{name}").write_text(value)
    return os.environ.setdefault(name, value)


def processes_with(word: str) -> list[int]:
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().split(b"\0")
        except OSError:
            continue
        if word.encode() in words:
            found.append(int(place.parent.name))
    return found


def wait_until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < end, f"waited too long for {what}"
        time.sleep(0.05)


def test_step_result_has_contents_owners_modes_and_nothing_else(run: Callable[..., Layer]) -> None:
    layer = run(
        "k", "echo hi > /etc/new; chmod 4750 /etc/new; mkdir /srv/own; chown 33:44 /srv/own; ln -s x /srv/l"
    )
    entries = {entry.path: entry for entry in manifest(layer).entries}
    assert list(entries) == [".", "etc", "etc/new", "srv", "srv/l", "srv/own"]
    assert (entries["etc/new"].size, entries["etc/new"].mode) == (3, 0o4750)
    assert (entries["srv/own"].uid, entries["srv/own"].gid, entries["srv/own"].kind) == (
        33,
        44,
        Kind.DIRECTORY,
    )
    assert entries["srv/l"].target == "x"


def test_step_that_changes_nothing_gives_an_empty_layer(run: Callable[..., Layer]) -> None:
    assert paths(run("k", "true")) == ["."]


def test_deleted_file_is_a_whiteout_and_gone_above(run: Callable[..., Layer]) -> None:
    first = run("a", "rm /etc/keep")
    kinds = {entry.path: entry.kind for entry in manifest(first).entries}
    assert kinds["etc/keep"] is Kind.WHITEOUT
    second = run("b", "test ! -e /etc/keep && echo again > /etc/keep", first)
    assert "etc/keep" in paths(second)


def test_replaced_directory_hides_what_was_below(
    run: Callable[..., Layer], store: LayerStore, base: Path
) -> None:
    first = run("a", "rm -r /srv/old; mkdir /srv/old; echo new > /srv/old/new")
    run("b", 'test "$(ls /srv/old)" = new', first)
    listed = store.with_root(base, [first], ["ls", "{root}/srv/old"])
    assert listed.text == "new\n"


def test_capability_of_a_file_is_kept_and_survives_a_change_above(
    run: Callable[..., Layer], base: Path
) -> None:
    if not (base / "usr/bin/setcap").exists():
        pytest.skip("setcap is not installed")
    first = run("a", "cat /usr/bin/cat > /etc/ping; chmod 755 /etc/ping; setcap cap_net_raw+ep /etc/ping")
    below = {entry.path: entry for entry in manifest(first).entries}["etc/ping"].xattrs
    second = run("b", "chmod 750 /etc/ping", first)
    above = {entry.path: entry for entry in manifest(second).entries}["etc/ping"].xattrs
    assert list(below) == ["security.capability"]
    assert above == below


def test_times_in_a_layer_are_whole_seconds_not_after_the_epoch(run: Callable[..., Layer]) -> None:
    layer = run(
        "k", f"echo 1 > /etc/new; touch -d @{EPOCH - 50}.5 /etc/older; touch -d @{EPOCH + 9} /etc/newer"
    )
    times = {entry.path: entry.mtime for entry in manifest(layer).entries}
    assert times["etc/new"] == times["etc/newer"] == EPOCH
    assert times["etc/older"] == EPOCH - 50
    assert all((layer.diff / path).lstat().st_mtime_ns % 1_000_000_000 == 0 for path in times)


def test_closed_network_reaches_nothing_and_open_one_reaches_the_host(run: Callable[..., Layer]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        script = f"#!/bin/bash\nexec 3<>/dev/tcp/127.0.0.1/{port}\n"
        with pytest.raises(StepFailedError):
            run("closed", script, network_open=False)
        run("open", script, network_open=True)
        server.settimeout(WAIT_SECONDS)
        server.accept()[0].close()
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.accept()


def test_closed_network_has_a_loopback_of_its_own(run: Callable[..., Layer]) -> None:
    # Refused at once, where an interface that is down would be unreachable.
    run(
        "k",
        "#!/bin/bash\n(exec 3<>/dev/tcp/127.0.0.1/9) 2>&1 | { read -r line; [[ $line == *refused* ]]; }\n",
    )


def test_step_sees_a_clean_environment(run: Callable[..., Layer], tmp_path: Path) -> None:
    os.environ["GOLDSMITH_TEST_SECRET"] = "secret"
    try:
        run(
            "k",
            "#!/bin/bash\ncompgen -e; echo $SOURCE_DATE_EPOCH $OWN $HOSTNAME",
            environment={"OWN": "mine"},
        )
    finally:
        del os.environ["GOLDSMITH_TEST_SECRET"]
    lines = (tmp_path / "k.log").read_text().splitlines()
    assert lines[-1] == f"{EPOCH} mine build"
    assert "GOLDSMITH_TEST_SECRET" not in lines
    assert {"PATH", "HOME", "LC_ALL", "DEBIAN_FRONTEND", "APT_CONFIG"} <= set(lines)


def test_services_are_not_started_by_package_scripts(run: Callable[..., Layer]) -> None:
    layer = run("k", "set +e; /usr/sbin/policy-rc.d ssh start; test $? = 101")
    assert paths(layer) == ["."]


def test_argv_and_interpreter_line_are_both_run(store: LayerStore, base: Path, tmp_path: Path) -> None:
    for key, command in {
        "argv": StepCommand(argv=("/bin/sh", "-c", "echo $0 > /etc/said", "word")),
        "script": StepCommand(script=b"#!/bin/bash -e\n[[ word ]]; echo word > /etc/said\n"),
    }.items():
        layer = store.run(key, base=base, parents=[], command=command, log=tmp_path / "log", epoch=EPOCH)
        assert (layer.diff / "etc/said").read_text() == "word\n"


def test_binds_are_seen_and_never_part_of_the_layer(run: Callable[..., Layer], tmp_path: Path) -> None:
    cache, given = tmp_path / "cache", tmp_path / "given"
    cache.mkdir()
    given.write_text("given\n")
    binds = (
        Bind(host=cache, guest="/var/cache/apt/archives", read_only=False),
        Bind(host=given, guest="/run/goldsmith/given"),
    )
    script = "cat /run/goldsmith/given > /var/cache/apt/archives/kept; ! (echo x > /run/goldsmith/given)"
    layer = run("k", script, binds=binds)
    assert (cache / "kept").read_text() == "given\n"
    assert given.read_text() == "given\n"
    assert paths(layer) == ["."]


def test_failed_step_keeps_its_state_and_leaves_no_layer(
    run: Callable[..., Layer], store: LayerStore, tmp_path: Path
) -> None:
    with pytest.raises(StepFailedError) as caught:
        run("k", "echo partial > /etc/partial; echo last words >&2; exit 7")
    error = caught.value
    assert (error.returncode, error.tail) == (7, "last words")
    assert (error.kept / "diff/etc/partial").read_text() == "partial\n"
    assert error.log.read_text() == "last words\n"
    assert store.find("k") is None
    assert not list((tmp_path / "store").glob(".work-*"))
    layer = run("k", "true")
    assert not error.kept.exists()
    assert store.find("k") == layer


def test_failed_step_can_be_entered(
    run: Callable[..., Layer], store: LayerStore, base: Path, sandbox: Sandbox
) -> None:
    with pytest.raises(StepFailedError) as caught:
        run("k", "echo partial > /etc/partial; exit 1")
    argv = store.shell_argv(base=base, parents=[], upper=caught.value.kept / "diff")
    entered = subprocess.run(
        argv, input="cat /etc/partial; echo more > /etc/more\n", capture_output=True, text=True, check=False
    )
    assert "partial" in entered.stdout
    if "copy" not in sandbox.name:
        assert (caught.value.kept / "diff/etc/more").read_text() == "more\n"


def test_step_at_its_time_limit_has_failed(run: Callable[..., Layer]) -> None:
    with pytest.raises(StepFailedError, match="still running after 1 s"):
        run("k", "sleep 600", timeout_seconds=1)


def test_canceled_step_leaves_no_process_and_no_work(store: LayerStore, base: Path, tmp_path: Path) -> None:
    cancel = CancelFlag()
    seconds = f"31{os.getpid()}.25"
    command = StepCommand(script=f"(sleep {seconds} &) ; echo ready; sleep {seconds}".encode())
    with pytest.raises(CanceledError):
        store.run(
            "k",
            base=base,
            parents=[],
            command=command,
            log=tmp_path / "log",
            epoch=EPOCH,
            cancel=cancel,
            on_output=lambda _: cancel.set("enough"),
        )
    wait_until(lambda: not processes_with(seconds), "the step to end")
    assert store.find("k") is None
    assert not list((tmp_path / "store").glob(".work-*"))


def test_background_process_of_a_step_does_not_outlive_it(run: Callable[..., Layer]) -> None:
    seconds = f"32{os.getpid()}.25"
    run("k", f"sleep {seconds} > /dev/null 2>&1 & true")
    wait_until(lambda: not processes_with(seconds), "the background process to end")


KILLED = """
import sys
from pathlib import Path
from goldsmith.disk.layers import LayerStore
from goldsmith.disk.model import StepCommand
from goldsmith.disk.sandbox import choose_sandbox
root, base, name, seconds = sys.argv[1:]
store = LayerStore(Path(root), choose_sandbox(Path(root), name=name))
command = StepCommand(script=f"echo ready; sleep {seconds}".encode())
store.run("k", base=Path(base), parents=[], command=command, log=Path(root) / "log", epoch=1,
          on_output=lambda data: (sys.stdout.write("ready\\n"), sys.stdout.flush()))
"""


def test_kill_9_leaves_no_mount_and_no_process_and_sweep_the_rest(
    store: LayerStore, base: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    mounts = Path("/proc/self/mounts").read_text()
    seconds = f"33{os.getpid()}.25"
    words = [sys.executable, "-c", KILLED, str(tmp_path / "store"), str(base), sandbox.name, seconds]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert store.sweep() == [], "the work of a live process was touched"
        assert processes_with(seconds)
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: not processes_with(seconds), "the step to die with its builder")
    assert Path("/proc/self/mounts").read_text() == mounts
    assert store.find("k") is None
    assert len(store.sweep()) == 1
    assert not list((tmp_path / "store").glob(".work-*"))
    assert store.sweep() == []


def test_two_builders_of_one_key_run_it_once(store: LayerStore, base: Path, tmp_path: Path) -> None:
    count = tmp_path / "count"
    count.mkdir()
    command = StepCommand(
        script=b"echo once >> /run/goldsmith/count/lines; sleep 0.5",
        binds=(Bind(host=count, guest="/run/goldsmith/count", read_only=False),),
    )
    made: list[Layer] = []

    def build() -> None:
        layer = store.run("k", base=base, parents=[], command=command, log=tmp_path / "log", epoch=EPOCH)
        made.append(layer)

    threads = [threading.Thread(target=build) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2
    assert made[0] == made[1]
    assert (count / "lines").read_text() == "once\n"


def test_sixty_layers_at_long_paths_are_one_root(sandbox: Sandbox, base: Path, tmp_path: Path) -> None:
    # Together far more than the 4096 bytes that the options of one mount may have; colons separate them.
    root = tmp_path / ("long:name," * 20) / "store"
    store = LayerStore(root, sandbox)
    layers: list[Layer] = []
    for number in range(60):
        files = [
            FileWrite(path=f"srv/many/{number}", content=b"x"),
            FileWrite(path="srv/last", content=b"%d" % number),
        ]
        layers.append(store.add_files(f"k{number}", base=base, parents=layers, files=files, epoch=EPOCH))
    command = StepCommand(script=b'set -- /srv/many/*; test $# = 60; test "$(cat /srv/last)" = 59')
    store.run("top", base=base, parents=layers, command=command, log=tmp_path / "log", epoch=EPOCH)
    sandbox.call("remove", {"path": str(root)})


def test_added_files_have_what_was_asked_and_parents_what_they_had(store: LayerStore, base: Path) -> None:
    given = base.parent / "given"
    given.write_bytes(b"from a file")
    layer = store.add_files(
        "k",
        base=base,
        parents=[],
        files=[
            FileWrite(path="/bin/tool", content=given, mode=0o755),
            FileWrite(path="etc/keep", content=b"mine", mode=0o600, uid=7, gid=8),
            FileWrite(path="opt/a/b", content=b""),
            FileWrite(path="boot/efi", content=None, mode=0o700),
        ],
        epoch=EPOCH,
        step={"why": "test"},
    )
    entries = {entry.path: entry for entry in manifest(layer).entries}
    assert "bin" not in entries, "a file below a symbolic link belongs where the link leads"
    assert (entries["usr/bin/tool"].size, entries["usr/bin/tool"].mode) == (11, 0o755)
    keep = entries["etc/keep"]
    assert (keep.uid, keep.gid, keep.mode, keep.mtime) == (7, 8, 0o600, EPOCH)
    assert entries["etc"].mtime == EPOCH - 1000
    assert (entries["opt/a"].mode, entries["opt/a"].mtime) == (0o755, EPOCH)
    assert (entries["boot/efi"].kind, entries["boot/efi"].mode) == (Kind.DIRECTORY, 0o700)
    found = store.find("k")
    assert found == layer
    assert found.step == {"why": "test"}


@pytest.mark.parametrize("path", ["../out", "", "/", "etc/../../x", "srv/old", "etc/keep/below"])
def test_file_that_leaves_the_tree_or_meets_another_kind_is_refused(
    store: LayerStore, base: Path, path: str
) -> None:
    with pytest.raises(InvalidInputError):
        store.add_files("k", base=base, parents=[], files=[FileWrite(path=path, content=b"")], epoch=EPOCH)
    assert store.find("k") is None


def test_changed_layer_is_found_out(run: Callable[..., Layer], store: LayerStore) -> None:
    layer = run("k", "echo hi > /etc/new; echo ho > /etc/other")
    store.verify(layer)
    (layer.diff / "etc").chmod(0o700)
    (layer.diff / "etc/new").write_text("ha\n")
    with pytest.raises(CorruptError, match=r"etc has another mode; etc/new has another .*sha256"):
        store.verify(layer)


def test_record_that_is_cut_off_is_corrupt(run: Callable[..., Layer], store: LayerStore) -> None:
    layer = run("k", "true")
    (layer.path / "layer.json").write_text(json.dumps({"key": "k"}))
    with pytest.raises(CorruptError):
        store.find("k")
    store.remove("k")
    assert store.find("k") is None


def test_program_of_the_host_sees_the_merged_root_and_cannot_change_it(
    run: Callable[..., Layer], store: LayerStore, base: Path
) -> None:
    layer = run("k", "echo hi > /etc/new; rm /etc/keep")
    seen = store.with_root(
        base, [layer], ["sh", "-c", 'cat "$GOLDSMITH_ROOT/etc/new"; ls "$0/etc"', "{root}"]
    )
    assert seen.text == "hi\nnew\npasswd\n"
    store.with_root(base, [layer], ["touch", "{root}/etc/stray"])
    discarded = store.with_root(base, [layer], ["touch", "{root}/etc/stray"], read_only=False)
    assert discarded.returncode == 0
    store.verify(layer)
    assert not (base / "etc/stray").exists()


def test_key_that_is_no_name_is_refused(store: LayerStore) -> None:
    with pytest.raises(InvalidInputError):
        store.find("../other")


def test_layers_are_listed_and_removed(run: Callable[..., Layer], store: LayerStore) -> None:
    run("sha256:ab", "true")
    assert store.keys() == ["sha256:ab"]
    store.remove("sha256:ab")
    assert store.keys() == []


def test_same_step_gives_the_same_digest_in_every_sandbox(
    run: Callable[..., Layer],
) -> None:
    script = "echo hi > /etc/new; rm /etc/keep; mkdir /srv/d; chown 33:33 /srv/d"
    script += "; ln /etc/new /etc/same; chmod 4755 /etc/new"
    digest = run("k", script).digest
    assert digest == expected(EXPECTED_DIGEST, digest)


def test_same_layers_give_the_same_disk_in_every_sandbox(store: LayerStore, tmp_path: Path) -> None:
    plan = plan_assembly("seed", content_bytes=64 << 20, epoch=EPOCH, size_bytes=384 << 20)
    files = [
        FileWrite(path="usr/lib/shim/shimx64.efi.signed", content=b"shim"),
        FileWrite(path="usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", content=b"grub\0/EFI/vendor\0"),
        FileWrite(path="etc/owned", content=b"x", uid=1000, gid=1001, mode=0o640),
        *boot_files("6.1", plan),
    ]
    # The programs of the base are the host's and have no fixed times, so the disk is of a smaller root.
    small = tmp_path / "small"
    small.mkdir(mode=0o755)
    os.utime(small, (EPOCH, EPOCH))
    layer = store.add_files("k", base=small, parents=[], files=files, epoch=EPOCH)
    out = tmp_path / "disk.raw"
    store.with_root_do(small, [layer], "assemble", {"out": str(out), "plan": plan_to_json(plan)})
    sha256 = sparse_sha256(out)
    assert sha256 == expected(EXPECTED_DISK, sha256)


def test_errors_inside_a_namespace_arrive_as_themselves(
    store: LayerStore, base: Path, tmp_path: Path
) -> None:
    plan = plan_assembly("seed", content_bytes=0, epoch=EPOCH)
    with pytest.raises(InvalidInputError, match="no signed boot loader") as caught:
        store.with_root_do(
            base, [], "assemble", {"out": str(tmp_path / "disk.raw"), "plan": plan_to_json(plan)}
        )
    assert caught.value.code == "BootLoaderMissing"
    assert caught.value.hint


def test_absent_base_is_not_found(store: LayerStore, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        store.run(
            "k",
            base=tmp_path / "absent",
            parents=[],
            command=StepCommand(argv=("true",)),
            log=tmp_path / "log",
            epoch=EPOCH,
        )


FULL = """
import sys
from pathlib import Path
from goldsmith.disk.layers import LayerStore
from goldsmith.disk.model import FileWrite, StepCommand
from goldsmith.disk.sandbox import choose_sandbox
from goldsmith.kernel.errors import NoSpaceError
root, base, name = sys.argv[1:]
store = LayerStore(Path(root), choose_sandbox(Path(root), name=name))
script = b"while echo 0123456789012345678901234567890123456789; do :; done > /etc/large"
common = {"base": Path(base), "parents": [], "epoch": 1}
for make in (
    lambda: store.run("a", command=StepCommand(script=script), log=Path("/dev/null"), **common),
    lambda: store.add_files("b", files=[FileWrite(path="large", content=bytes(1 << 22))], **common),
):
    try:
        make()
    except NoSpaceError:
        print("no space")
print(store.keys(), list(Path(root).glob(".work-*")))
"""


def test_full_disk_is_told_as_such_and_nothing_is_left(sandbox: Sandbox, base: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0 or "copy" in sandbox.name:
        pytest.skip("needs a small file system of its own, which only root can mount, and overlayfs")
    small = tmp_path / "small"
    small.mkdir()
    script = f'mount -t tmpfs -o size=1m tmpfs {small} && exec "$@"'
    argv = ["sh", "-c", script, "sh", sys.executable, "-c", FULL, str(small), str(base), sandbox.name]
    result = proc.run(proc.in_private_namespace(argv), timeout_seconds=WAIT_SECONDS)
    assert result.text.splitlines() == ["no space", "no space", "[] []"]
