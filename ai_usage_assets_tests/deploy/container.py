"""Runs the image's command without a container engine.

Reads the Dockerfile, lays out the files that it would put into the image, and starts the entry point as process 1 of a
read-only file system with the image's user and environment. The locked packages are not installed: the packages of the
test environment are mounted at the image's path.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path, PurePosixPath

from ai_usage_assets_tests.support.repository import REPOSITORY, build_wheel

TOOLS = ("unshare", "mount", "chroot", "env", "sh")


@dataclass(frozen=True)
class Instruction:
    """One instruction of the Dockerfile, with continued lines joined and comments removed."""

    stage: int
    name: str
    flags: tuple[str, ...]
    rest: str

    @property
    def exec_form(self) -> list[str]:
        """The words of a command that no shell interprets."""
        words: list[str] = json.loads(self.rest)
        return words

    @property
    def words(self) -> list[str]:
        """The arguments as words."""
        return shlex.split(self.rest)


@cache
def instructions() -> tuple[Instruction, ...]:
    """The instructions of the Dockerfile, in order."""
    lines = [line for line in (REPOSITORY / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    parsed: list[Instruction] = []
    stage = -1
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        name, *words = line.split()
        stage += name == "FROM"
        flags = tuple(word for word in words if word.startswith("--") and name in ("COPY", "FROM", "RUN"))
        rest = line.partition(" ")[2].strip()
        for flag in flags if name == "COPY" else ():
            rest = rest.replace(flag, "", 1).strip()
        parsed.append(Instruction(stage, name, flags, rest))
    return tuple(parsed)


def last_stage() -> list[Instruction]:
    """The instructions of the stage that becomes the image."""
    return [instruction for instruction in instructions() if instruction.stage == instructions()[-1].stage]


def image_instruction(name: str) -> Instruction:
    """The only instruction of that name in the last stage."""
    (instruction,) = [instruction for instruction in last_stage() if instruction.name == name]
    return instruction


def environment() -> dict[str, str]:
    """The variables that ENV sets, with build arguments at their defaults."""
    pairs = {
        name: dict(word.partition("=")[::2] for entry in last_stage() if entry.name == name for word in entry.words)
        for name in ("ARG", "ENV")
    }
    return {
        name: re.sub(r"\$\{(\w+)\}", lambda match: pairs["ARG"][match[1]], value)
        for name, value in pairs["ENV"].items()
    }


def copy_sources() -> dict[str, str]:
    """What the build copies from the repository: source -> destination, relative to the working directory."""
    copies: dict[str, str] = {}
    for instruction in instructions():
        if instruction.name == "COPY" and not any(flag.startswith("--from") for flag in instruction.flags):
            *sources, target = instruction.words
            for source in sources:
                copies[source] = str(PurePosixPath(target) / source) if target.endswith("/") else target
    return copies


def build_context() -> list[Path]:
    """The files that .dockerignore leaves to the build; the last matching pattern decides."""
    rules = [line for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    return [path for path in _repository_files() if not _is_ignored(PurePosixPath(path.as_posix()), rules)]


@cache
def _repository_files() -> tuple[Path, ...]:
    paths: list[Path] = []
    for folder, folders, files in os.walk(REPOSITORY):
        folders[:] = [name for name in folders if name not in (".venv", ".git")]
        paths += [(Path(folder) / name).relative_to(REPOSITORY) for name in files]
    return tuple(paths)


def _is_ignored(path: PurePosixPath, rules: list[str]) -> bool:
    ignored = False
    for rule in rules:
        pattern = rule.removeprefix("!")
        if any(_matches(part, pattern) for part in (path, *path.parents)):
            ignored = not rule.startswith("!")
    return ignored


def _matches(path: PurePosixPath, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatchcase(path.name, pattern[3:])
    parts, patterns = path.parts, PurePosixPath(pattern).parts
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def copied_files() -> dict[str, Path]:
    """Every file that the build copies: its path below the working directory -> its path in the repository."""
    files: dict[str, Path] = {}
    for path in build_context():
        for source, target in copy_sources().items():
            if path.as_posix() == source:
                files[target] = path
            elif path.is_relative_to(source):
                files[str(PurePosixPath(target) / path.relative_to(source).as_posix())] = path
    return files


def unsupported_reason() -> str | None:
    """Why this machine cannot run a container; None when it can."""
    if os.geteuid() != 0:
        return "a separate file system needs root"
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        return f"{', '.join(missing)} not found"
    attempt = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False)
    return None if attempt.returncode == 0 else "this machine does not allow namespaces"


@dataclass
class Container:
    """A read-only root file system with the image's content; `tmp` and `data` are writable."""

    folder: Path
    # An installed environment to mount instead of a generated one, and the interpreter that created it.
    venv: Path | None = None
    prefix: Path = Path(sys.base_prefix)
    mounts: dict[Path, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root, self.tmp, self.data = (self.folder / name for name in ("root", "tmp", "data"))
        user, group = map(int, image_instruction("USER").rest.split(":"))
        for folder in (self.tmp, self.data):
            folder.mkdir(parents=True)
            os.chown(folder, user, group)
        for name in ("proc", "tmp", "data", "opt", "etc"):
            (self.root / name).mkdir(parents=True)
        (self.root / "etc" / "passwd").write_text(f"app:x:{user}:{group}::/nonexistent:/usr/sbin/nologin\n")
        for path in map(Path, ("/usr", "/lib", "/lib64", "/bin", "/dev")):
            if path.is_symlink():
                (self.root / path.name).symlink_to(path.readlink())
            elif path.is_dir():
                self._mount(path, str(path))
        self._mount(self.prefix, str(self.prefix))
        if self.venv:
            self._mount(self.venv, "/opt/venv")
        else:
            self._create_venv()

    def _mount(self, path: Path, target: str) -> None:
        (self.root / target.lstrip("/")).mkdir(parents=True, exist_ok=True)
        self.mounts[path] = target

    def _create_venv(self) -> None:
        venv = self.root / "opt" / "venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        packages = [Path(path) for path in sys.path if path.endswith("site-packages")]
        for number, path in enumerate(packages):
            self._mount(path, f"/opt/packages/{number}")
        (site_packages,) = venv.glob("lib/python*/site-packages")
        (site_packages / "packages.pth").write_text(
            "\n".join(f"/opt/packages/{number}" for number in range(len(packages)))
        )
        wheel = build_wheel({name: REPOSITORY / path for name, path in copied_files().items()}, self.folder / "build")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site_packages)
        script = venv / "bin" / "ai-usage"
        script.write_text(
            "#!/opt/venv/bin/python\nimport sys\nfrom ai_usage_assets.cli import main\nsys.exit(main())\n"
        )
        script.chmod(0o755)

    @contextmanager
    def start(self, *arguments: str, **settings: str) -> Iterator[RunningContainer]:
        """Runs the image's entry point with these arguments instead of CMD until the end of the block."""
        command = [*image_instruction("ENTRYPOINT").exec_form, *(arguments or image_instruction("CMD").exec_form)]
        user = image_instruction("USER").rest
        values = [f"{name}={value}" for name, value in {**environment(), "HOME": "/nonexistent", **settings}.items()]
        root = shlex.quote(str(self.root))
        steps = [
            "mount --make-rprivate /",
            f"mount --bind {root} {root}",
            *(f"mount --rbind {shlex.quote(str(path))} {root}{shlex.quote(to)}" for path, to in self.mounts.items()),
            f"mount --bind {shlex.quote(str(self.tmp))} {root}/tmp",  # noqa: S108 - the container's /tmp
            f"mount --bind {shlex.quote(str(self.data))} {root}/data",
            f"mount -t proc proc {root}/proc",
            f"mount -o remount,ro,bind {root}",
            f"exec chroot --userspec={user} --groups= {root} "
            + shlex.join(["env", f"--chdir={image_instruction('WORKDIR').rest}", "-i", *values, *command]),
        ]
        with subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", "\n".join(steps)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield RunningContainer(process)
            finally:
                process.kill()

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Runs the entry point to its end."""
        with self.start(*arguments, **settings) as running:
            return running.wait(300)


@dataclass
class RunningContainer:
    """A started container."""

    process: subprocess.Popen[str]

    def signal(self, number: int) -> None:
        """Sends a signal to process 1, as a container engine does."""
        pid = self.process.pid
        (first,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        os.kill(int(first), number)

    def wait(self, timeout_seconds: float) -> subprocess.CompletedProcess[str]:
        """Waits for the end; kills the container after the timeout."""
        try:
            output = self.process.communicate(timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            output = self.process.communicate()
        return subprocess.CompletedProcess(self.process.args, self.process.returncode, *output)
