"""From image files to batches: data sets, the store of their pixels, splits, augmentation, batches.

In: the `data` and `augment` sections of a recipe. Out: batches on the device that the model is on. Nothing here knows of
models or runs.

Letters in shapes: N images in a store, n in a split, G in a global batch, B in the part of it that one process takes; C
channels; S the side of stored images; H and W the height and width of the images in a batch.

| step | file and class | what it does | output |
|---|---|---|---|
| source | `DataSet` of data_set.py | names the images: a folder, an archive, a package | class names, files and labels |
| list | `scan`, `Tree` of image_folder.py | finds classes and splits in a folder | (path, label) of each file |
| compare | `check_unchanged` of changes.py | refuses to resume on other files | an error that says what changed |
| decode | `decode_range` of decode.py | reads each file once: upright, RGB, squashed to a square | uint8 [3, S, S], aspect |
| store | `PixelStore` of pixel_store.py | keeps the pixels in one file, mapped into memory | uint8 [N, 3, S, S], float32 [N] |
| split | `Splits` of splits.py | divides every class into train, val and test by a seed | int64 [n] rows and int64 [n] labels |
| draw | `Augment` of augment.py | draws crops, flips, colors, mixtures by (seed, step) | boxes [G, 4] and more |
| batch | `Batches` of batches.py | gathers, crops, resizes, normalizes, mixes | float32 [B, 3, H, W], int64 [B] labels |

Read the files in this order:

1. data_set.py: the base of every data set. digits_set.py: the shortest one. synthetic_set.py, torchvision_sets.py.
   options.py: all data sets that a recipe may name.
2. folder_set.py: your own images, from a folder to splits. root_check.py: mistakes that are reported before torch is imported.
   image_folder.py: classes and splits in a folder. changes.py: what changed since a run began.
3. decode.py: one image file to pixels. store_size.py: the side of stored images. pixel_store.py: the file of all
   pixels. store_cache.py: the stores on the disk and the limit of their size.
4. splits.py: train, val, test. rng.py: randomness as a function of seed, purpose and step.
5. augment.py and policy.py: the options. draws.py: the random draws of a batch. resize.py: crop, flip and resize as two
   matrix products. border.py: whole images in a square. operations.py: the operations of a policy. color.py: color
   operations. transfer.py: copies to a GPU. batches.py: all of these for one batch. feature_batches.py: batches of
   features in place of images. feature_cache.py: the features on the disk.
"""
