"""One run: from a recipe to a finished run folder, on one process or many.

In goes a `Recipe`; out come weights, scores and pictures in the run folder. Read the files in this order:

1. `run.py`: the whole story on one screen: check, set up, resume, train, finish.
2. `preflight.py`: what the recipe needs of this machine and its launcher, before anything heavy is imported.
3. `auto.py`: what follows from the images and the backbone where the recipe leaves it open (image size, epochs, batch size).
   `inputs.py`, `setup.py` and `assemble.py`: four stages, each a plain value: `Inputs` (weights, data), `TrainableModel`
   (built, frozen, folded), `Execution` (accelerator, precision, layout) and the loop's own `Training`. `checks.py` refuses
   what does not fit, `autotune.py` measures what is fastest here, `accelerator.py` starts Accelerate, `describe.py` and
   `parameter_table.py` report it all.
4. `state.py`: what the loop works with (`Training`) and how far it has come (`Progress`).
5. `processes.py`: what the processes of a run tell each other. `feeder.py`: batches gathered ahead. `watch.py`: whether a
   step is finite. `budget.py`: the plan of the steps, and of a given time. `averaging.py`: the average of the weights.
   `teacher.py`: a trained model that is asked about each image; `distillation.py`: its part in the loss.
   `stages.py`: which parameters learn at a step. `cached_features.py`: a head that trains on features computed once.
   `trial.py`: steps that are timed, and whether they fit. `loop.py`: `fit`, the only loop; `step.py`: `train_step`, the
   only step (benchmarks time the same one); `evaluate.py`: scores of a split over all processes.
6. `saver.py`: rows and checkpoints as the run goes; `checkpoint.py`: one checkpoint on disk, verified;
   `resume.py`: back from one.
7. `linear_probe.py`: an optional start of the head; `soup.py`: an optional average of the best epochs; `temperature.py`:
   optional calibration; `final_scores.py`: which passes over val are left at the end; `result.py`: the end of a run and its
   `result.json`; `report.py`: its page.
8. What trains nothing: `plan.py` with `forecast.py` (minutes, memory and disk) and `timing.py` (a few steps),
   `preview.py` (the images of a step as a picture), `fetch.py` (weights and data into the caches). What trains and keeps
   nothing: `lr_range.py` (steps with a rising learning rate) and `lr_rule.py` (the rate that is read off them).

The recipe stays in `run.py`, `auto.py`, `inputs.py`, `setup.py`, `assemble.py`, `saver.py` and `result.py`: below them the
loop gets plain values.
"""
