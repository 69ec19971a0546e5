"""`zoo bench`: the throughput of many backbones, each measured in worker processes of its own.

In: names of models and how to measure them. Out: a folder with a row for each model, as CSV and JSON, and a picture.
A model that runs out of memory, crashes or hangs is a row that says so, and the others are still measured.

Read the files in this order:

1. settings.py: what is measured and how, and the request that a worker process gets.
2. rows.py: the columns of a row, their files, the printed table and the verdict.
3. images.py: images to make batches of, the user's own or made-up ones.
4. peak.py: the fastest matrix product of the machine.
5. steps.py: one model prepared as a training run does, and the steps that are timed.
6. measure.py: one model measured inside its worker process.
7. plot.py: the picture of all rows.
8. compare.py: two results compared.
9. benchmark.py: the whole benchmark, which starts the workers and can be resumed.
"""
