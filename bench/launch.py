"""launch.py COMMAND...: runs it and reports wall time, processor time and peak memory on descriptor 3.

A process of its own because Linux counts the memory of whoever forks as the child's peak: a small launcher
(9 MB) keeps the harness's own hundred megabytes out of the figures. Started with python3 -I -S.
"""
import os
import sys
import time

begun = time.perf_counter()
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ,
                      file_actions=[(os.POSIX_SPAWN_CLOSE, 3)])
_, status, usage = os.wait4(pid, 0)
wall = time.perf_counter() - begun
os.write(3, b'{"code": %d, "wall": %f, "cpu": %f, "rss": %d}' % (
    os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024))
