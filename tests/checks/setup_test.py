# SPDX-License-Identifier: MIT
"""scripts/setup.sh beside a package manager that only writes down what it was asked."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest
from unittest import mock

SETUP = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "setup.sh"

# $STATE/installed: packages that are there; known: those that apt could install; mirror: those
# that it will know after an update; calls: what was run.
DPKG_QUERY = """#!/bin/sh
for package; do :; done
grep -qx "$(echo "$package" | sed 's/[*]/.*/')" "$STATE/installed" && echo installed
"""
APT_CACHE = """#!/bin/sh
case $1 in
search) grep "$3" "$STATE/known" | sed 's/$/ - what it is for/' ;;
policy)
    word=Kandidat
    [ "${LC_ALL-}" = C ] && word=Candidate
    grep -qx "$2" "$STATE/known" &&
        printf '%s:\\n  Installed: (none)\\n  %s: 1.0\\n' "$2" "$word" ;;
esac
exit 0
"""
APT_GET = """#!/bin/sh
echo "apt-get $*" >>"$STATE/calls"
case "$*" in
*update*) [ ! -e "$STATE/offline" ] && cp "$STATE/mirror" "$STATE/known" ;;
*) [ ! -e "$STATE/offline" ] ;;
esac
"""
SUDO = """#!/bin/sh
echo sudo >>"$STATE/calls"
exec "$@"
"""
BUILD = ("gcc libc6-dev cmake ninja-build pkg-config python3 liburing-dev libhwloc-dev "
         "libjemalloc-dev node-llhttp").split()


class Setup(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.state = pathlib.Path(folder.name)
        self.bin = self.state / "bin"
        self.bin.mkdir()
        self.fake("dpkg-query", DPKG_QUERY)
        self.fake("apt-cache", APT_CACHE)
        self.fake("apt-get", APT_GET)
        self.fake("id", "#!/bin/sh\necho 0\n")
        # Nothing else of the machine is visible: no cmake or go that would count as installed.
        for tool in ("sh", "sed", "tr", "grep", "mktemp", "rm", "cat", "env", "cp", "sort",
                     "tail"):
            (self.bin / tool).symlink_to(pathlib.Path("/usr/bin") / tool)
        self.has(installed=BUILD, known=[], mirror=[])
        self.environment = {"PATH": str(self.bin), "STATE": str(self.state),
                            "HOME": os.environ["HOME"]}

    def fake(self, name, text):
        (self.bin / name).write_text(text, encoding="utf-8")
        (self.bin / name).chmod(0o755)

    def has(self, **lists):
        for name, packages in lists.items():
            text = "".join(package + "\n" for package in packages)
            (self.state / name).write_text(text, encoding="utf-8")

    def run_setup(self, *options):
        return subprocess.run(["/bin/sh", str(SETUP), *options], env=self.environment, text=True,
                              capture_output=True, check=False)

    def calls(self):
        path = self.state / "calls"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def test_nothing_missing_calls_nothing(self):
        result = self.run_setup()
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))
        self.assertEqual(self.calls(), [])

    def test_installs_what_is_missing_without_an_update(self):
        self.has(installed=BUILD[1:], known=["gcc"])
        self.assertEqual(self.run_setup().returncode, 0)
        self.assertEqual(len(self.calls()), 1)
        self.assertTrue(self.calls()[0].endswith("install -y --no-install-recommends gcc"))

    def test_translations_do_not_matter(self):
        self.has(installed=BUILD[1:], known=["gcc"])
        for variable in ("LC_ALL", "LANGUAGE", "LANG"):
            with mock.patch.dict(self.environment, {variable: "de_DE.UTF-8"}):
                self.assertEqual(self.run_setup().returncode, 0)

    def test_updates_only_when_apt_does_not_know_a_package(self):
        self.has(installed=BUILD[1:], mirror=["gcc"])
        self.assertEqual(self.run_setup().returncode, 0)
        self.assertEqual([call.split()[-1] for call in self.calls()], ["update", "gcc"])

    def test_groups_add_up(self):
        everything = ("libc-ares-dev libcriterion-dev libssl-dev relacy-dev spin g++ clang lld "
                      "strace valgrind gdb linux-perf wrk nginx-light").split()
        self.has(known=everything)
        self.assertEqual(self.run_setup("--test", "--run").returncode, 0)
        for package in everything:
            self.assertIn(package, self.calls()[0].split())

    def test_an_alternative_counts(self):
        self.has(installed=BUILD + ["wrk", "nginx-core"])
        self.assertEqual(self.run_setup("--run").returncode, 0)
        self.assertEqual(self.calls(), [])

    def test_of_several_versions_the_newest_is_installed(self):
        others = "wrk nginx-light g++ golang-go libtbb-dev libuv1-dev libh2o-evloop-dev".split()
        boosts = [f"libboost-fiber{version}-dev" for version in ("1.9", "", "1.81", "1.74")]
        self.has(installed=BUILD + others, known=["libboost-fiber1.9.1-tools", *boosts])
        self.assertEqual(self.run_setup("--bench").returncode, 0)
        self.assertEqual([call.split()[-1] for call in self.calls()], ["libboost-fiber1.81-dev"])

    def test_a_version_that_is_there_is_kept(self):
        others = "g++ golang-go libtbb-dev libuv1-dev libh2o-evloop-dev".split()
        for version in ("1.74", ""):
            self.has(installed=BUILD + others + [f"libboost-fiber{version}-dev"],
                     known=["libboost-fiber1.81-dev"])
            self.assertEqual(self.run_setup("--bench").returncode, 0)
            self.assertEqual(self.calls(), [])

    def test_a_signal_ends_it_at_once_and_leaves_nothing(self):
        temporary = self.state / "tmp"
        temporary.mkdir()
        self.environment["TMPDIR"] = str(temporary)
        self.has(installed=BUILD[1:], known=["gcc"])
        for name in ("TERM", "HUP"):
            self.fake("apt-get", APT_GET + f"kill -{name} $PPID\n")
            self.assertEqual(self.run_setup().returncode, 130)
            self.assertEqual([call.split()[-1] for call in self.calls()], ["gcc"])
            (self.state / "calls").unlink()
        self.assertEqual(list(temporary.iterdir()), [])

    def test_failure_names_the_packages(self):
        (self.state / "offline").touch()
        self.has(installed=BUILD[2:])
        result = self.run_setup()
        self.assertEqual(result.returncode, 1)
        self.assertIn("please install: gcc libc6-dev\n", result.stderr)

    def test_an_install_that_fails_is_tried_again_after_an_update(self):
        (self.state / "offline").touch()
        self.has(installed=BUILD[1:], known=["gcc"])
        self.assertEqual(self.run_setup().returncode, 1)
        self.assertEqual([call.split()[-1] for call in self.calls()], ["gcc", "update"])

    def test_a_user_needs_sudo(self):
        self.fake("id", "#!/bin/sh\necho 1000\n")
        self.has(installed=BUILD[1:], known=["gcc"])
        result = self.run_setup()
        self.assertEqual(result.returncode, 1)
        self.assertIn("please install: gcc\n", result.stderr)
        self.assertEqual(self.calls(), [])

        self.fake("sudo", SUDO)
        self.assertEqual(self.run_setup().returncode, 0)
        self.assertEqual(self.calls()[0], "sudo")

    def test_unknown_options_are_refused(self):
        self.assertEqual(self.run_setup("--tests").returncode, 2)
        self.assertEqual(self.calls(), [])

    def test_another_distribution_is_told_what_is_needed(self):
        (self.bin / "apt-get").unlink()
        result = self.run_setup()
        self.assertEqual(result.returncode, 0)
        self.assertIn("liburing-dev", result.stderr)


class Check(unittest.TestCase):
    """scripts/check beside checks of which one is told to stop."""

    def test_a_signal_ends_it_at_once(self):
        with tempfile.TemporaryDirectory() as folder:
            scripts = pathlib.Path(folder) / "scripts"
            (scripts / "checks").mkdir(parents=True)
            shutil.copy(SETUP.parent / "check", scripts)
            (scripts / "setup.sh").symlink_to("/bin/true")
            stop = "import os, signal\nos.kill(os.getppid(), signal.SIGTERM)\n"
            (scripts / "checks" / "format.py").write_text(stop, encoding="utf-8")
            (scripts / "checks" / "layers.py").write_text("", encoding="utf-8")
            result = subprocess.run([scripts / "check", "format", "layers"], text=True,
                                    capture_output=True, check=False)
        self.assertEqual((result.returncode, result.stdout), (130, ""))


if __name__ == "__main__":
    unittest.main()
