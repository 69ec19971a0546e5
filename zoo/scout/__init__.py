"""`zoo scout`: find the backbones that suit a set of images, by a probe on frozen features, before any fine-tune.

In: images or a recipe, and names of backbones. Out: a folder with a row for each backbone, as CSV and JSON, and a command to
copy, which fine-tunes the best backbones in a sweep. If a backbone fails, its row gives the error and the others are still
measured.

Read the files in this order:

1. subject.py: finds the recipe, the images and the backbones that the command line names.
2. settings.py: the settings of the measurements, and the request for a worker process.
3. folds.py: selects the images and divides them into folds.
4. features.py: runs a backbone without its head on the images; features are cached.
5. probe.py: scores features with simple classifiers.
6. measure.py: measures one backbone inside its worker process.
7. rows.py: the columns of a row, the order of rows, the printed table, the best backbones and the sweep command.
8. plot.py: the picture of all rows.
9. scouting.py: the whole command, which starts the workers and can be resumed.
"""
