"""This machine: files, locks, processes, signals, hardware, the console. Nothing here knows about images, models or recipes.

In: paths, texts, functions to call, environment variables. Out: files written atomically, one line per error, names and
numbers of the hardware. All other folders may import this one; it imports nothing else of zoo but `zoo.errors`. Only device.py
and packing.py import torch at the top.

The files are mostly independent of each other. Read them in this order:

1. files.py: write files and folders atomically (staged, synced, renamed); digests, free space, the cache folder.
2. locks.py: let one process work at a time.
3. console.py: lines for the user, counts with their nouns. table.py: aligned tables, percentages.
   progress.py: a bar on a terminal, lines in a log.
4. hardware.py: processor, cores, versions of packages. device.py: torch's device, its memory, dtypes and memory formats.
   memory.py: errors of full memory. packing.py: several tensors in one buffer.
5. launch.py: the rank of this process, lost processes. network.py: the interface between machines. threads.py: CPU threads and
   freed memory.
6. signals.py: SIGTERM and SIGINT.
7. workers.py: call a function in other processes, so that a crash there is only an error line here.
"""
