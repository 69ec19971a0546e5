"""timm backbones: list them, build one with every weight accounted for, and make it train fast on a CPU.

In: the name and options of a backbone, the number of classes, an image size.
Out: a torch model with its head, the source of its weights and the number of tensors that were loaded; and, without
torch, the catalog behind `zoo list` and `zoo show`.

Read the files in this order:

1. catalog.py: every backbone and its costs, from `catalog.csv`. Files 1 to 5 import neither torch nor timm at the top.
2. names.py: checks of names, with the nearest names for a misspelled one.
3. availability.py: the weights that are on this machine.
4. listing.py: entries of the catalog as a table, JSON or CSV.
5. options.py: the section `backbone` of a recipe, with a class for each weight source.
6. weight_sources.py: readers of files, packages, torchvision, runs and the hub.
7. build.py: a model by its name, with its weights.
8. loading.py: the check that every tensor was loaded.
9. sizes.py: the check that the backbone uses all pixels of an image size.
10. head.py: the classifiers and their initialization. features.py: the backbone without its last layer.
11. layers.py, finetune.py: the parts of a backbone, and which of them are trained. lora.py: low-rank updates of its layers.
12. fold_batchnorm.py, fast_conv.py: the same computation, faster on a CPU. fuse_batchnorm.py: a faster copy for prediction.
13. logistic.py: a linear probe on features. flops.py: multiply-adds of a forward pass. save.py: writes a model folder for
    timm. model_folder.py: reads one.

fast_conv.py and fold_batchnorm.py assign to `layer.__class__`, on purpose: the layer gets another `forward`, but keeps
its tensors, their names and its place in the network. Checkpoints and exported models therefore stay timm's own, and the
change can be undone. Their tests compare results, gradients, state dicts and deep copies before and after.
"""
