"""A trained model in use: predict the classes of images, compute features, score a labeled set.

In goes a MODEL (a run, a model folder, a name of the hub or of timm, an exported file) and images; out come predictions,
as objects, lines or files. Nothing is trained, and nothing is written into a run.

Read in this order: source (what a MODEL names), preprocessing, views, networks (what computes), classifier, load;
image_paths and lanes; prediction, journal, tables and work (rows of results, whole at any moment); predict and embed (a
whole command); own_test, labeled_images, match_classes and evaluate (scores).
"""
