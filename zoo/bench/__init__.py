"""`zoo bench`: measure the throughput of many backbones, each in its own worker processes.

In: names of models and the settings of the measurement. Out: a folder with one row per model, as CSV and JSON, and a picture.
If a model runs out of memory, crashes or hangs, its row says so, and the other models are still measured.

Read the files in this order:

1. settings.py: the settings of a benchmark, and the request that a worker process gets.
2. rows.py: the columns of a row, the files of rows, the printed table and the verdict.
3. images.py: images for the batches, the user's own or made-up ones.
4. peak.py: the fastest matrix product of the machine.
5. steps.py: prepare one model as a training run does, and make the steps to time.
6. measure.py: measure one model inside its worker process.
7. plot.py: draw all rows.
8. compare.py: compare two results.
9. benchmark.py: run the whole benchmark, which starts the workers and can be resumed.
"""
