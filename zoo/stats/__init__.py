"""Statistics of finished runs: intervals, paired tests and the correction for many of them. They need only numpy.

In: plain numbers, counts, and arrays bool [S, N] that say which of N images each of S runs classifies correctly. Out:
intervals, p-values and adjusted p-values as plain floats. Nothing here knows of runs, files or torch. The tests compare the
results with scipy.

Read the files in this order:

1. intervals.py: mean, deviation, and the interval of a mean by Student's t.
2. paired.py: two models on the same images: the table of both answers, McNemar's exact test, the interval of the difference.
3. runs_and_images.py: the difference of two models with several runs each, by a t test in which both are random.
4. holm.py: p-values adjusted for many comparisons.
"""
