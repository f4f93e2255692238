# SPDX-License-Identifier: MIT
import unittest

import checks_path  # noqa: F401
import layers

KNOWN = {"include/weft.h", "include/weft/base.h", "include/weft/io.h", "arch/os.h", "arch/atomic.h",
         "runtime/deque.h", "runtime/worker.h", "runtime/wait.h", "runtime/check.h", "io/ring.h",
         "sync/mutex.h", "tests/support/fixture.h", "benchmarks/http/routes.h"}


class Layers(unittest.TestCase):
    def check(self, name, line):
        return layers.check_file(name, line + "\n", KNOWN | {name})

    def test_allowed(self):
        for name, header in (("arch/linux/os.c", '"arch/os.h"'), ("arch/linux/os.c", "<pthread.h>"),
                             ("runtime/deque.h", '"arch/atomic.h"'),
                             ("runtime/worker.c", '"runtime/deque.h"'),
                             ("io/file.c", '"runtime/wait.h"'), ("io/ring.c", "<liburing.h>"),
                             ("tool/weft.c", "<weft.h>"), ("examples/hello.c", "<stdio.h>"),
                             ("include/weft/io.h", '"base.h"'),
                             ("tests/unit/a_test.c", '"io/ring.h"'),
                             ("tests/api/a_test.c", '"../support/fixture.h"'),
                             ("tests/api/a_test.c", '"fixture.h"'),
                             ("benchmarks/http/main.c", '"routes.h"'),
                             ("benchmarks/http/main.c", "<pthread.h>")):
            with self.subTest(name=name, header=header):
                self.assertEqual(self.check(name, f"#include {header}"), [])

    def test_refused(self):
        for name, header in (("arch/linux/os.c", '"runtime/check.h"'),
                             ("arch/tls.c", "<weft/base.h>"),
                             ("runtime/deque.h", '"runtime/worker.h"'),
                             ("runtime/worker.c", '"io/ring.h"'),
                             ("runtime/worker.c", "<pthread.h>"),
                             ("runtime/worker.c", "<liburing.h>"),
                             ("runtime/worker.c", "<hwloc.h>"),
                             ("runtime/worker.c", "<stdatomic.h>"), ("io/file.c", "<liburing.h>"),
                             ("io/file.c", '"sync/mutex.h"'), ("io/file.c", '"runtime/worker.h"'),
                             ("sync/mutex.c", '"io/ring.h"'), ("tool/weft.c", '"runtime/wait.h"'),
                             ("include/weft/io.h", '"runtime/wait.h"'),
                             ("tests/api/a_test.c", '"runtime/wait.h"'),
                             ("benchmarks/http/main.c", '"runtime/wait.h"'),
                             ("elsewhere/a.c", '"runtime/wait.h"')):
            with self.subTest(name=name, header=header):
                self.assertEqual(len(self.check(name, f"#include {header}")), 1)

    def test_an_include_in_a_comment_is_none(self):
        self.assertEqual(self.check("runtime/worker.c", "/*\n#include <pthread.h>\n*/"), [])


if __name__ == "__main__":
    unittest.main()
