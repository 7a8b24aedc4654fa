"""Does constraints.txt hold on the systems that this machine is not?

For each Python and system of `PYTHONS` and `SYSTEMS`, pip is asked what README's commands would install there (and the
other extras), from wheels alone and with constraints.txt. Nothing is installed, and of a wheel only its metadata is
fetched. Printed is a table; a cell is "ok" where pip finds a wheel for everything and every package found is pinned.
Exits 1 unless all are.

    python tools/resolve_platforms.py [only systems with this in their name]

Resolving is not running: README says on which systems the tests were run.
"""
import json
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ["3.11", "3.12", "3.13"]
OLDEST_PIP = (24, 0)  # older ones fetch whole wheels even in a dry run

LINUX = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
# torch sets the floor: glibc 2.28 on Linux, macOS 14 on Apple silicon, and no Intel Macs since torch 2.3
GLIBCS = [f"manylinux_2_{minor}" for minor in range(28, 4, -1)] + ["manylinux2014", "manylinux2010", "manylinux1"]
NO_WHEELS = {"Linux aarch64": ["data"]}  # extras that need a compiler there: biotite's biotraj has no wheel
SYSTEMS = {  # name: (wheel platforms, environment markers)
    "Linux x86_64": ([f"{glibc}_x86_64" for glibc in GLIBCS], LINUX | {"platform_machine": "x86_64"}),
    "Linux aarch64": ([f"{glibc}_aarch64" for glibc in GLIBCS], LINUX | {"platform_machine": "aarch64"}),
    "macOS arm64": (["macosx_14_0_arm64"], {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix",
                                            "platform_machine": "arm64"}),
    "Windows x86_64": (["win_amd64"], {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt",
                                       "platform_machine": "AMD64"}),
}

# pip chooses wheels by --platform and --python-version but evaluates markers for the interpreter that it runs on, and
# so would never look at pywinpty here: it is told that it runs elsewhere.
PIP_ELSEWHERE = """
import json, sys
from pip._vendor.packaging import markers
here, there = markers.default_environment(), json.loads(sys.argv.pop(1))
markers.default_environment = lambda: here | there
from pip._internal.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def canonical(name):
    return name.lower().replace("_", "-").replace(".", "-")


def pins():
    """{canonical name: version} of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    return {canonical(name): pin for name, pin in (line.split("==") for line in lines)}


def requirements(without=()):
    """What pyproject.toml asks for, all extras but those of `without` included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].items()
    return project["dependencies"] + [need for name, needs in extras if name not in without for need in needs]


def resolve(python, platforms, markers, needs):
    """What pip would install there: ({canonical name: version}, pip's errors)."""
    markers = markers | {"python_version": python, "python_full_version": f"{python}.0"}
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.json")
        command = [sys.executable, "-c", PIP_ELSEWHERE, json.dumps(markers), "install", "--dry-run",
                   "--ignore-installed", "--target", str(Path(scratch, "target")), "--report", str(report),
                   "--only-binary=:all:", "--use-feature=fast-deps", "--implementation=cp",
                   f"--python-version={python}", *(f"--platform={platform}" for platform in platforms),
                   "--constraint", str(ROOT / "constraints.txt"), *needs]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
        if done.returncode:
            said = (done.stdout + done.stderr).splitlines()
            return {}, [line.strip() for line in said if "depends on" in line or line.startswith("ERROR")] or said[-5:]
        found = json.loads(report.read_text(encoding="utf-8"))["install"]
    return {canonical(item["metadata"]["name"]): item["metadata"]["version"].split("+")[0] for item in found}, []


def main(only=""):
    if tuple(map(int, version("pip").split(".")[:2])) < OLDEST_PIP:
        sys.exit(f"pip {version('pip')} is too old to ask for metadata alone; run: python -m pip install --upgrade pip")
    pinned, used, wrong = pins(), set(), []
    print(f"{'':16}" + "".join(f"{python:>10}" for python in PYTHONS))
    for system, (platforms, markers) in SYSTEMS.items():
        if only not in system:
            continue
        print(f"{system:16}", end="", flush=True)
        for python in PYTHONS:
            found, errors = resolve(python, platforms, markers, requirements(NO_WHEELS.get(system, ())))
            errors += [f"not pinned: {name}=={found[name]}" for name in found if found[name] != pinned.get(name)]
            wrong += [f"{system}, Python {python}: {error}" for error in errors]
            used |= found.keys()
            print(f"{'missing' if errors else f'ok ({len(found)})':>10}", end="", flush=True)
        print()
    if not only and not wrong:
        wrong += [f"{name}: pinned, but no system needs it" for name in sorted(pinned.keys() - used)]
    print(*wrong, sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
