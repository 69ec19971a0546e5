"""Use a trained model: predict the classes of images, compute features, score a labeled set.

In: a MODEL (a run, a model folder, a hub or timm name, an exported file) and images. Out: predictions, features or scores,
as objects, lines or files. Nothing is trained, and nothing is written into a run.

Read the files in this order: source (finds a MODEL), preprocessing, views, networks (run the model), classifier, load,
exported; image_paths and lanes; prediction, journal, tables and work (rows of results, which survive interruptions);
predict and embed (whole commands); labeled_images, match_classes, own_test and evaluate (scores), evaluation and
evaluation_files (their report).
"""
