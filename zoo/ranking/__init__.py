"""Finished runs side by side: `zoo leaderboard` ranks many, `zoo compare` takes two apart. Never torch.

In: run folders, or folders that hold some. Out: a `Leaderboard` or a `Comparison`, plain values that are printed as a table,
Markdown, CSV or JSON, drawn, or written as one page of HTML. Runs are compared on the very same test images only, and a
difference is called one only where a paired test says so.

Read the files in this order:

1. answers.py: what a run said of each test image, and whether two runs were asked the same.
2. runs.py: finished runs found in folders, with their recipes and machines.
3. groups.py: runs that differ in their seed only, as repetitions of one recipe.
4. rows.py: a row for each group: its score with an interval, its difference to another row, its costs.
5. leaderboard.py: all rows in order, told apart or not, and the Pareto fronts.
6. tables.py: the leaderboard as a table, Markdown, CSV and JSON.
7. picture.py: the score against what it costs.
8. page.py and page.html.j2: all of it on one page.
9. comparison.py: two runs: recipes, paired table, flipped images, ratios.
10. comparison_text.py: the comparison as lines, JSON and CSV.
"""
