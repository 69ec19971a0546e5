"""The optimizer and the learning rate, from a recipe's options to `torch.optim`.

In: the sections `optim`, `schedule` and `train.loss` of a recipe, and a model with its frozen parameters marked.
Out: an optimizer whose groups carry `lr_scale` and `weight_decay`, the learning rate of any step, and the optimizer's
state by the names of parameters, for checkpoints.

Read the files in this order:

1. options.py: the section `optim` of a recipe.
2. schedules.py: the section `schedule`; the learning rate is a pure function of the step. losses.py: `train.loss`.
3. build.py: parameter groups, and the optimizer by timm's name.
4. state.py: an optimizer's state as tensors and plain values, and back.

options.py, schedules.py and losses.py do not import torch.
"""
