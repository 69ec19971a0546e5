"""The commands of `zoo`, one file each: its flags and a handler of a few lines.

In: the words of the command line. Out: printed lines and an exit code; mistakes are raised as a `ZooError`.
`zoo/cli.py` finds a command by its file. The first line of the file's docstring, after the colon, is the help of the command;
`add_arguments` adds its flags; `run` does the work. Nothing heavy is imported at the top of a file, so that mistakes are
reported at once.

Read the files in this order:

1. train.py: train a recipe, or resume a run. recipe.py: show a recipe with every option. lr.py: find a learning rate.
2. list.py: find a backbone. show.py: show one backbone's card. scout.py: rank backbones on the user's images.
3. bench.py: measure throughput. sweep.py: fine-tune many backbones.
4. predict.py, embed.py, eval.py: predict classes, compute features, score a model. export.py: export it.
5. leaderboard.py, compare.py, report.py: rank runs, compare two of them, write a page.
6. fetch.py: download weights and data. cache.py: show and free the disk space of decoded images and features.
"""
