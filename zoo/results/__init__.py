"""Everything that a run leaves, and how it is read and drawn: its folder, the rows of its epochs, its pictures. Never torch.

In: the path of a run, plain rows such as those of `metrics.jsonl`, counts as numpy arrays. Out: files in the run folder,
lines for the console, SVG and PNG pictures. Each picture is a function from values to a file, so that a report can draw it
again from what the run has written.

Read the files in this order:

1. folder.py: make a run folder, write and read its files, find the newest unfinished run.
2. epoch_table.py: the rows of the epochs, the same in a terminal and in a log.
3. result.py: `result.json` as a typed value; whatever reads finished runs reads it here.
4. predictions.py: `predictions.csv`, a row for each image of val and test.
5. canvas.py: what all pictures share: style, figures and panels in inches, text that is measured.
6. curves.py: loss, accuracy and learning rate over the epochs. lr_curve.py: the loss over the learning rate, of a range test.
7. confusion.py: the confusion matrix and each class's recall.
8. pareto.py: cost against quality of many backbones, the best of them named.
9. measured.py: the folder of `zoo bench`, `zoo scout` and `zoo sweep`, with a row for each model or run.
10. measurements.py: what `zoo bench` and `zoo scout` have in common: models measured one after the other in worker processes.
"""
