"""A container without a container engine: the Dockerfile read, its files laid out, its command run as it would be.

Belongs here: what the Dockerfile says, and a process as process 1 of a file system of its own that cannot be written
but in two places, under the image's user, with the image's environment and nothing else. Does not: expectations. What
pip would install is not installed but shown: the packages of the running environment, at the image's path.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path, PurePosixPath

from ai_usage_assets.settings import PROJECT_ROOT

TOOLS = ("unshare", "mount", "chroot", "env", "sh")


@dataclass(frozen=True)
class Instruction:
    """One instruction of the Dockerfile, its lines joined and its comments gone."""

    stage: int
    name: str
    flags: tuple[str, ...]
    rest: str

    @property
    def exec_form(self) -> list[str]:
        """The words of a command that no shell reads."""
        return json.loads(self.rest)

    @property
    def words(self) -> list[str]:
        """The rest as words."""
        return shlex.split(self.rest)


@cache
def instructions() -> tuple[Instruction, ...]:
    """The Dockerfile."""
    lines = [
        line for line in (PROJECT_ROOT / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")
    ]
    found: list[Instruction] = []
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
        found.append(Instruction(stage, name, flags, rest))
    return tuple(found)


def last_stage() -> list[Instruction]:
    """What the image itself is made by."""
    return [found for found in instructions() if found.stage == instructions()[-1].stage]


def of_image(name: str) -> Instruction:
    """The one instruction of that name in the last stage."""
    (found,) = [found for found in last_stage() if found.name == name]
    return found


def environment() -> dict[str, str]:
    """What ENV sets, build arguments at their defaults."""
    arguments = dict(word.partition("=")[::2] for found in last_stage() if found.name == "ARG" for word in found.words)
    values = dict(word.partition("=")[::2] for found in last_stage() if found.name == "ENV" for word in found.words)
    return {name: re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], value) for name, value in values.items()}


def copied() -> dict[str, str]:
    """What the build takes from this folder, and where to: source to destination, relative to the working directory."""
    found: dict[str, str] = {}
    for copy in instructions():
        if copy.name == "COPY" and not any(flag.startswith("--from") for flag in copy.flags):
            *sources, destination = copy.words
            for source in sources:
                found[source] = str(PurePosixPath(destination) / source) if destination.endswith("/") else destination
    return found


def context() -> list[Path]:
    """The files that the build may see: what .dockerignore leaves, the last pattern that fits deciding."""
    rules = [line for line in (PROJECT_ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    return [path for path in _files() if not _is_ignored(PurePosixPath(path.as_posix()), rules)]


@cache
def _files() -> tuple[Path, ...]:
    found: list[Path] = []
    for folder, folders, files in os.walk(PROJECT_ROOT):
        folders[:] = [name for name in folders if name not in (".venv", ".git")]
        found += [(Path(folder) / name).relative_to(PROJECT_ROOT) for name in files]
    return tuple(found)


def _is_ignored(path: PurePosixPath, rules: list[str]) -> bool:
    ignored = False
    for rule in rules:
        pattern = rule.removeprefix("!")
        if any(_fits(part, pattern) for part in (path, *path.parents)):
            ignored = not rule.startswith("!")
    return ignored


def _fits(path: PurePosixPath, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatchcase(path.name, pattern[3:])
    parts, wanted = path.parts, PurePosixPath(pattern).parts
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def image_files() -> dict[str, Path]:
    """What of this folder is in the image, by its path below the working directory."""
    found: dict[str, Path] = {}
    for path in context():
        for source, destination in copied().items():
            if path.as_posix() == source or path.is_relative_to(source):
                inside = PurePosixPath(destination) / path.relative_to(source).as_posix()
                found[str(inside) if path.as_posix() != source else destination] = path
    return found


def why_not() -> str | None:
    """Why no container can be made here; None where one can."""
    if os.geteuid() != 0:
        return "a file system of its own needs root"
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        return f"there is no {' and no '.join(missing)} here"
    tried = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False)
    return None if tried.returncode == 0 else "this machine makes no namespaces"


@dataclass
class Container:
    """A root for processes: what is in `root` is read only, `tmp` and `data` can be written and looked at."""

    folder: Path
    # A really clean environment in place of the shown one, with the interpreter it was made from.
    venv: Path | None = None
    prefix: Path = Path(sys.base_prefix)
    mounts: dict[Path, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root, self.tmp, self.data = (self.folder / name for name in ("root", "tmp", "data"))
        user, group = map(int, of_image("USER").rest.split(":"))
        for folder in (self.tmp, self.data):
            folder.mkdir(parents=True)
            os.chown(folder, user, group)
        for name in ("proc", "tmp", "data", "opt", "etc"):
            (self.root / name).mkdir(parents=True)
        for inside, path in image_files().items():
            target = self.root / of_image("WORKDIR").rest.lstrip("/") / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT_ROOT / path, target)
        (self.root / "etc" / "passwd").write_text(f"app:x:{user}:{group}::/nonexistent:/usr/sbin/nologin\n")
        for path in map(Path, ("/usr", "/lib", "/lib64", "/bin", "/dev")):
            if path.is_symlink():
                (self.root / path.name).symlink_to(path.readlink())
            elif path.is_dir():
                self._show(path, str(path))
        self._show(self.prefix, str(self.prefix))
        if self.venv:
            self._show(self.venv, "/opt/venv")
        else:
            self._make_environment()

    def _show(self, path: Path, inside: str) -> None:
        (self.root / inside.lstrip("/")).mkdir(parents=True, exist_ok=True)
        self.mounts[path] = inside

    def _make_environment(self) -> None:
        venv = self.root / "opt" / "venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        packages = [Path(path) for path in sys.path if path.endswith("site-packages")]
        for number, path in enumerate(packages):
            self._show(path, f"/opt/packages/{number}")
        (site_packages,) = venv.glob("lib/python*/site-packages")
        inside = [of_image("WORKDIR").rest, *(f"/opt/packages/{number}" for number in range(len(packages)))]
        (site_packages / "shown.pth").write_text("\n".join(inside))
        for name, entry in tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]["scripts"].items():
            module, _, function = entry.partition(":")
            script = venv / "bin" / name
            script.write_text(
                f"#!/opt/venv/bin/python\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n"
            )
            script.chmod(0o755)

    @contextmanager
    def start(self, *arguments: str, **settings: str) -> Iterator[Running]:
        """The image's entry point, with these arguments in place of its own, until the end of the block."""
        command = [*of_image("ENTRYPOINT").exec_form, *(arguments or of_image("CMD").exec_form)]
        owner = of_image("USER").rest
        values = [f"{name}={value}" for name, value in {**environment(), "HOME": "/nonexistent", **settings}.items()]
        root = shlex.quote(str(self.root))
        steps = [
            "mount --make-rprivate /",
            f"mount --bind {root} {root}",
            *(f"mount --rbind {shlex.quote(str(path))} {root}{shlex.quote(to)}" for path, to in self.mounts.items()),
            f"mount --bind {shlex.quote(str(self.tmp))} {root}/tmp",  # noqa: S108 - of the container
            f"mount --bind {shlex.quote(str(self.data))} {root}/data",
            f"mount -t proc proc {root}/proc",
            f"mount -o remount,ro,bind {root}",
            f"exec chroot --userspec={owner} --groups= {root} "
            + shlex.join(["env", f"--chdir={of_image('WORKDIR').rest}", "-i", *values, *command]),
        ]
        with subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", "\n".join(steps)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield Running(process)
            finally:
                process.kill()

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """The same, from its start to its end."""
        with self.start(*arguments, **settings) as running:
            return running.ended(300)


@dataclass
class Running:
    """What runs in a container."""

    process: subprocess.Popen[str]

    def signal(self, number: int) -> None:
        """Sends a signal to process 1, as an engine does."""
        pid = self.process.pid
        (first,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        os.kill(int(first), number)

    def ended(self, within_seconds: float) -> subprocess.CompletedProcess[str]:
        """How it came to its end by itself, or was killed when its time was over."""
        try:
            said = self.process.communicate(timeout=within_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            said = self.process.communicate()
        return subprocess.CompletedProcess(self.process.args, self.process.returncode, *said)
