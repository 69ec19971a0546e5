"""timm backbones: which there are, building one with every weight accounted for, and making it train fast on a CPU.

In: a backbone's name and options, a number of classes, an image size.
Out: a model of torch with its head, its source of weights and a count of the tensors that were loaded; and, without
torch, the catalog behind `zoo list` and `zoo show`.

Read the files in this order:

1. catalog.py: every backbone and its costs, from `catalog.csv`; light, as are the next four.
2. names.py: checks of names, with the nearest ones for a misspelt name.
3. availability.py: the weights that are on this machine.
4. listing.py: entries of the catalog as a table, JSON or CSV.
5. options.py: the section `backbone` of a recipe; a weight source is one class there.
6. weight_sources.py: readers of files, packages, torchvision, runs and the hub.
7. build.py: a model by its name, with its weights.
8. loading.py: the check that every tensor was loaded.
9. sizes.py: the check that the backbone takes an image size whole.
10. head.py: classifiers and how a new one starts. features.py: the backbone without its last layer.
11. layers.py, finetune.py: the parts of a backbone, and which of them are trained. lora.py: low-rank updates of its layers.
12. fold_batchnorm.py, fast_conv.py: the same function computed faster on a CPU.
13. logistic.py: a linear probe on features. flops.py: multiply-adds of a forward pass. save.py: a model folder for timm.
    model_folder.py: one read back.

fast_conv.py and fold_batchnorm.py assign to `layer.__class__`, on purpose: a layer gets another `forward` while it keeps
its tensors, their names and its place in the network, so that checkpoints and exported models are timm's own, and the
change can be taken back. Their tests compare results, gradients, state dicts and deep copies before and after.
"""
