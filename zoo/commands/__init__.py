"""The commands of `zoo`, one file each: its flags and a handler of a few lines.

In: the words of the command line. Out: printed lines and an exit code; a mistake is raised as a `ZooError`.
`zoo/cli.py` finds a command by its file. The first line of its docstring, after the colon, is its help; `add_arguments`
adds its flags; `run` does the work. Nothing heavy is imported at the top of a file, so that a mistake is answered at once.

Read the files in this order:

1. train.py: train a recipe, or resume a run.
2. recipe.py: show a recipe with every option.
3. list.py: find a backbone.
4. show.py: show one backbone's card.
5. bench.py: measure throughput.
6. cache.py: show and free the disk space of decoded images.
"""
