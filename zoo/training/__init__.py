"""One run: from a recipe to a finished run folder, on one process or many.

The input is a `Recipe`; the output is a run folder with weights, scores and pictures. Read the files in this order:

1. `run.py`: the whole run on one screen: check, set up, resume, train, finish.
2. `preflight.py`: checks of this machine and its launcher, before anything heavy is imported.
3. `auto.py`: chooses options that the recipe leaves open from the images and the backbone (image size, epochs, batch size).
   `inputs.py`, `setup.py` and `assemble.py`: the set-up in four stages, each a plain value: `Inputs` (weights, data),
   `TrainableModel` (built, frozen, folded), `Execution` (accelerator, precision, layout) and `Training`, which the loop
   uses. `checks.py` rejects data and models that do not fit the recipe, `autotune.py` measures what is fastest on this
   machine, `accelerator.py` starts Accelerate, `describe.py` and `parameter_table.py` print the facts of a run.
4. `state.py`: the values that the loop works with (`Training`) and its progress (`Progress`).
5. `processes.py`: communication between the processes of a run. `feeder.py`: batches gathered ahead. `watch.py`: checks
   that each step is finite. `budget.py`: the number of steps, also for a given time. `averaging.py`: the moving average of
   the weights. `teacher.py`: a trained model that predicts each image; `distillation.py`: its part of the loss.
   `stages.py`: the parameters that learn at a step. `cached_features.py`: a head trained on features computed once.
   `trial.py`: trial steps, to time them and to see whether they fit into memory. `loop.py`: `fit`, the only training loop;
   `step.py`: `train_step`, the only optimizer step, which benchmarks time too; `evaluate.py`: scores of a split.
6. `saver.py`: rows and checkpoints during the run; `checkpoint.py`: one checkpoint on disk, verified;
   `resume.py`: resuming from a checkpoint.
7. `linear_probe.py`: an optional fit of the head before training; `soup.py`: an optional average of the best epochs;
   `temperature.py`: optional calibration; `final_scores.py`: the passes over val at the end; `result.py`: the end of a run
   and its `result.json`; `report.py`: its report page.
8. Without training: `plan.py` with `forecast.py` (minutes, memory and disk) and `timing.py` (a few steps), `preview.py` (the
   images of a step as a picture), `fetch.py` (weights and data into the caches). Training whose weights are discarded:
   `lr_range.py` (steps with a rising learning rate) and `lr_rule.py` (the rate suggested by them).

The set-up turns the recipe into plain values: the loop, the step and the evaluation get no recipe.
"""
