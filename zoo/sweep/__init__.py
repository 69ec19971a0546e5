"""`zoo sweep`: many runs from one command, each in a process of its own, restartable.

In: a recipe, backbones, seeds and values of options. Out: a folder with an ordinary run folder for each combination, and a
row for each as CSV and JSON. A run that fails is a row that says so. The same command continues where it was, to the bit.

Read the files in this order:

1. grid.py: what is asked for becomes a list of runs, each with its own recipe.
2. folder.py: the folder of a sweep, and whether it is of the same settings.
3. rows.py: the row of a run, from its folder; the printed table.
4. one_run.py: one run inside its process, from its newest checkpoint if it has one.
5. pool.py: runs side by side on this machine. on_ray.py: the same on a Ray cluster.
6. sweep.py: a sweep that is running: its runs, rows and time.
7. halving.py: how many runs continue, so that a time is kept. budget.py: a sweep within a time.
8. start.py: the whole command: checks, the folder, the machines.
9. plan.py: what a sweep would do, and its predicted hours.
10. folds.py, out_of_fold.py: a cross-validation is a sweep whose runs differ in their fold, and what all of them say together.
11. page.py: the page that shows what came of it.
"""
