"""`zoo report`: one self-contained HTML page about a run, which needs no server and can be sent by mail.

In: a run folder, finished or not, and the images of its data set if they are available. Out: `report.html`, at most 3 MB.
Nothing here needs torch: the folder's files are read with numpy, and the images are passed in.

Read the files in this order:

1. scored.py: the prediction for each image, from `predictions.csv` or `predictions.safetensors`.
2. facts.py: all other information in a run folder, including which files are damaged or missing.
3. analysis.py: the worst mistakes, confused pairs, classes with intervals, calibration. Pure functions.
4. seen.py: training images as the model saw them, and a sheet of them as PNG.
5. thumbnails.py: small pictures of images of the pixel store, within a byte budget.
6. figures.py: the plots, as SVG.
7. recipe_table.py: the recipe's options, and which of them differ from their defaults.
8. wording.py: numbers as text, and the sentences of the page.
9. gallery.py: a figure with a caption for each image of the page.
10. html.py: fills a template; all pages share base.html.j2 and base.css, including those of leaderboards.
11. page.py: puts everything into page.html.j2 and page.css, and shrinks the page to the size limit.
"""
