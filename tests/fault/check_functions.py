#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fails if the library asks the system for something by a function that the tests cannot make fail.

usage: check_functions.py NM ARCHIVE LIST
"""
import re
import subprocess
import sys

# Functions that give memory, a mapping, a thread, a descriptor, or an object of a library.
ASKING = re.compile(
    r"(malloc|calloc|realloc|reallocarray|aligned_alloc|posix_memalign|memalign|mallocx|valloc"
    r"|strdup|strndup|asprintf|vasprintf|getline|getdelim|open_memstream"
    r"|mmap|mremap|madvise|mprotect|brk|sbrk|shm_open|memfd_create|sigaltstack"
    r"|open|openat|creat|fopen|fdopen|freopen|tmpfile|opendir|dup|dup2|dup3|pipe|pipe2"
    r"|socket|socketpair|accept|accept4|eventfd|timerfd_create|signalfd|epoll_create1?|epoll_ctl"
    r"|inotify_init1?|pidfd_open|pthread_create|pthread_atfork|pthread_key_create|thrd_create"
    r"|tss_create|clone|v?fork|posix_spawnp?|syscall|dlopen|dlmopen|getaddrinfo|sem_open|regcomp"
    r"|hwloc_\w+_(init|load|alloc|dup|alloc_full)|io_uring_(queue_init\w*|register_\w+))"
)
# Only wf_alloc() calls these, one of them in each build, and it is made to fail itself.
BEHIND_OUR_OWN = {"aligned_alloc", "mallocx"}


def main():
    nm, archive, path = sys.argv[1:]
    listed = set(open(path, encoding="utf-8").read().split())
    output = subprocess.run([nm, "-u", archive], check=True, capture_output=True, text=True).stdout
    used = {line.split()[-1] for line in output.splitlines() if line.strip().startswith("U ")}
    asked = {name for name in used if ASKING.fullmatch(name)}
    missing = sorted(asked - listed - BEHIND_OUR_OWN)
    idle = sorted(name for name in listed if name not in used | BEHIND_OUR_OWN)
    if not asked:
        sys.exit(f"{archive}: nothing that asks the system was found")
    for name in missing:
        print(f"{name}: the library calls it, and {path} does not have it (see fault.h)")
    for name in idle:
        print(f"{name}: in {path}, but the library does not call it")
    sys.exit(1 if missing or idle else 0)


if __name__ == "__main__":
    main()
