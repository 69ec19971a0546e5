"""This machine: files, locks, processes, signals, hardware, the console. Nothing here knows of images, models or recipes.

In: paths, texts, functions to call, environment variables. Out: files written whole, one line per error, names and numbers
of the hardware. Everything above this folder may use it; it imports nothing of zoo but `zoo.errors`. Only device.py imports
torch at the top.

The files are independent of each other, but for the few that are named; read them in this order:

1. files.py: write a file or a folder whole (staged, synced, renamed); digests, free space, the cache folder.
2. locks.py: one process at a time.
3. console.py: lines for the user, counts with their nouns. table.py: aligned tables, percentages.
   progress.py: a bar on a terminal, lines in a log.
4. hardware.py: processor, cores, versions of packages. device.py: the same of torch's device; its memory, dtypes, layouts.
5. launch.py: rank and siblings of this process, lost processes. threads.py: its CPU threads and freed memory.
6. signals.py: SIGTERM and SIGINT.
7. workers.py: call a function in other processes; a crash there is a line here.
"""
