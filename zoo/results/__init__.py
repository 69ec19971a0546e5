"""Write, read and draw the results of a run: its folder, the rows of its epochs, its pictures. Nothing here imports torch.

In: the path of a run, plain rows such as those of `metrics.jsonl`, counts as numpy arrays. Out: files in the run folder,
lines for the console, SVG and PNG pictures. Each picture is drawn by a function from values to a file, so that a report can
draw it again from the run's files.

Read the files in this order:

1. folder.py: make a run folder, write and read its files, find the newest unfinished run.
2. epoch_table.py: the table of epochs on the console, identical in a terminal and in a log.
3. result.py: `result.json` as a typed value; all readers of finished runs use it.
4. predictions.py: `predictions.csv`, a row for each image of val and test.
5. canvas.py: shared by all pictures: style, figures and panels in inches, and text measurement.
6. curves.py: loss, accuracy and learning rate over the epochs. lr_curve.py: the loss over the learning rate in a range test.
7. confusion.py: the confusion matrix and each class's recall.
8. pareto.py: cost against score of many backbones, with names on the Pareto front.
9. measured.py: the folder of `zoo bench`, `zoo scout` and `zoo sweep`, with a row for each model or run.
10. measurements.py: shared by `zoo bench` and `zoo scout`: measure models one after the other in worker processes.
"""
