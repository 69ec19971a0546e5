"""`zoo report`: one HTML page of a run, which opens from a mail attachment and asks no server for anything.

In: a run folder, finished or not, and the images behind it as far as they can be had. Out: `report.html`, at most 3 MB.
Nothing here needs torch: the folder's files are read with numpy, and pictures of the images are handed in.

Read the files in this order:

1. scored.py: what the model said of each image, from `predictions.csv` or `predictions.safetensors`.
2. facts.py: everything else that a run folder tells, damaged or missing files among it.
3. analysis.py: the worst mistakes, confused pairs, classes with intervals, calibration. Pure functions.
4. seen.py: training images as the model saw them, and a sheet of them as PNG.
5. thumbnails.py: small pictures of images of the pixel store, within a budget of bytes.
6. figures.py: the pictures with axes, as SVG.
7. recipe_table.py: the recipe's options, and which of them differ from their defaults.
8. wording.py: numbers as text, and the sentences of the page.
9. gallery.py: a figure for each image of the page, with its caption.
10. html.py: a template filled; base.html.j2 and base.css are what all pages have in common, those of leaderboards too.
11. page.py: all of it put into page.html.j2 and page.css, as small as it has to be.
"""
