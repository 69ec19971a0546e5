"""Statistics of finished runs: intervals, paired tests and the correction for many of them. numpy and nothing else.

In: plain numbers, counts, and arrays bool [S, N] that say which of N images each of S runs has right. Out: intervals,
p-values and adjusted p-values as plain floats. Nothing here knows of runs, files or torch; scipy is the tests' referee.

Read the files in this order:

1. intervals.py: mean, deviation, and the interval of a mean by Student's t.
2. paired.py: two models on the same images: the table of both answers, McNemar's exact test, the interval of the difference.
3. bootstrap.py: the same for several runs of each model, over runs and images.
4. holm.py: p-values of many comparisons.
"""
