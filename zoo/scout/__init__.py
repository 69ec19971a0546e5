"""`zoo scout`: which backbone suits these images, by a probe on frozen features, before any fine-tune.

In: images or a recipe, and names of backbones. Out: a folder with a row for each backbone, as CSV and JSON, and one line to
copy: the sweep of the best. A backbone that fails is a row that says so, and the others are still measured.

Read the files in this order:

1. subject.py: what the words of the command line mean: the recipe, the images, the backbones.
2. settings.py: what is measured and how, and the request that a worker process gets.
3. folds.py: which images are looked at, and in which folds.
4. features.py: a backbone without its head, run on the images; the features are kept in the cache.
5. probe.py: what simple classifiers make of the features.
6. measure.py: one backbone measured inside its worker process.
7. rows.py: the columns of a row, their order, the printed table, the best and the line to copy.
8. plot.py: the picture of all rows.
9. scouting.py: the whole command, which starts the workers and can be resumed.
"""
