"""`zoo sweep`: many runs from one command, each in its own process, restartable.

In: a recipe, backbones, seeds and values of options. Out: a folder with an ordinary run folder for each combination, and a
CSV and a JSON table with a row for each. The row of a failed run gives the error. Repeating the command continues the sweep,
with bit-identical results.

Read the files in this order:

1. grid.py: turns the arguments into a list of runs, each with its own recipe.
2. folder.py: finds the folder of a sweep, and compares its settings.
3. rows.py: the row of a run, read from its folder; the printed table.
4. one_run.py: trains one run inside its process, from its newest checkpoint if it has one.
5. pool.py: runs side by side on this machine. on_ray.py: runs on a Ray cluster.
6. sweep.py: a sweep in progress: its runs, rows and time.
7. halving.py: how many runs continue, so that the budget is kept. budget.py: a sweep within a time budget.
8. start.py: the whole command: checks, the folder, the machines.
9. plan.py: a dry run of a sweep, with its predicted hours.
10. folds.py: cross-validation, a sweep whose runs differ in their fold. out_of_fold.py: the combined results of all folds.
11. page.py: the report page of a sweep.
"""
