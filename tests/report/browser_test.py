# SPDX-License-Identifier: MIT
"""The report in a real browser, by day and by night: what is on the screen, not what the file says.
Skipped where there is no Chromium; scripts/setup.sh --browser installs one."""

import os
import shutil
import struct
import subprocess
import tempfile
import unittest
import unittest.mock
import zlib

import sample_rows

import page

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
BROWSER = next((path for path in map(shutil.which, BROWSERS) if path), None)
DARK = "--blink-settings=preferredColorScheme=0"
WIDTH, HEIGHT = 720, 1500
SHOWN = ("forkjoin", "memory")  # few enough that all kinds of sections fit on the picture


def undo_filter(kind, line, previous, step):
    """One line of a PNG (section 9 of its specification); `previous` is the line above."""
    for i, value in enumerate(line):
        left = line[i - step] if i >= step else 0
        up = previous[i]
        corner = previous[i - step] if i >= step else 0
        if kind == 1:
            guess = left
        elif kind == 2:
            guess = up
        elif kind == 3:
            guess = (left + up) // 2
        elif kind == 4:
            guess = min((abs(up - corner), 0, left), (abs(left - corner), 1, up),
                        (abs(left + up - 2 * corner), 2, corner))[2]
        else:
            return line
        line[i] = (value + guess) & 0xff
    return line


def read_png(path):
    """(width, height, colours of all pixels as (r, g, b), line by line) of an 8-bit RGB(A) PNG."""
    with open(path, "rb") as file:
        data = file.read()
    width, height, depth, kind = struct.unpack(">IIBB", data[16:26])
    assert depth == 8 and kind in (2, 6), (depth, kind)
    step = 3 if kind == 2 else 4
    packed, place = b"", 8
    while place < len(data):
        length, = struct.unpack(">I", data[place:place + 4])
        if data[place + 4:place + 8] == b"IDAT":
            packed += data[place + 8:place + 8 + length]
        place += 12 + length
    raw = zlib.decompress(packed)
    previous, lines = bytearray(width * step), []
    for y in range(height):
        start = y * (width * step + 1)
        line = bytearray(raw[start + 1:start + 1 + width * step])
        previous = undo_filter(raw[start], line, previous, step)
        lines.append([tuple(previous[x:x + 3]) for x in range(0, width * step, step)])
    return width, height, lines


def rgb(text):
    return tuple(bytes.fromhex(text[1:]))


@unittest.skipUnless(BROWSER, "no Chromium is installed (scripts/setup.sh --browser)")
class Browser(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.path = os.path.join(cls.folder.name, "report.html")
        with open(cls.path, "w", encoding="utf-8") as file:
            report = sample_rows.report()
            report.rows = [row for row in report.rows if row["bench"].startswith(SHOWN)]
            sections = [part for part in page._SECTIONS if part[0] in ("not-first", "bars")]
            with unittest.mock.patch.object(page, "_SECTIONS", sections):
                file.write(page.render(report))

    def picture(self, *options):
        target = os.path.join(self.folder.name, "report.png")
        subprocess.run(
            [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
             f"--user-data-dir={self.folder.name}/profile", f"--window-size={WIDTH},{HEIGHT}",
             f"--screenshot={target}", *options, f"file://{self.path}"],
            check=True, capture_output=True, timeout=100)
        return read_png(target)[2]

    def check_scheme(self, lines, colours):
        self.assertEqual(lines[0][0], rgb(colours["page"]))
        seen = {}
        for line in lines:
            for colour in line:
                seen[colour] = seen.get(colour, 0) + 1
        for name in ("ink", "card", "weft", "behind"):
            # Thousands of pixels of bars, hundreds of text.
            self.assertGreater(seen.get(rgb(colours[name]), 0), 100, name)

    def test_by_day_and_nothing_is_cut_off(self):
        lines = self.picture()
        self.check_scheme(lines, {"page": "#ffffff", "ink": "#111827", "card": "#f8fafc",
                                  "weft": "#0f766e", "behind": "#b91c1c"})
        # The margin on the right is empty from the top to the bottom: no chart reaches into it.
        self.assertEqual({line[-4] for line in lines}, {(255, 255, 255)})

    def test_by_night(self):
        self.check_scheme(self.picture(DARK), {"page": "#0f141a", "ink": "#e5e7eb",
                                               "card": "#171e27", "weft": "#2dd4bf",
                                               "behind": "#f87171"})


if __name__ == "__main__":
    unittest.main()
