"""Compare finished runs: `zoo leaderboard` ranks many, `zoo compare` compares two in detail. Nothing here imports torch.

In: run folders, or folders that contain runs. Out: a `Leaderboard` or a `Comparison`, plain values that are printed as a
table, Markdown, CSV or JSON, drawn, or written as one HTML page. Runs are compared only on identical test images, and a
difference is reported as real only if a paired test is significant.

Read the files in this order:

1. answers.py: a run's prediction for each test image, and a check that two runs have the same test images.
2. runs.py: finished runs found in folders, with their recipes and machines.
3. groups.py: groups of runs that differ only in their seed, as repetitions of one recipe.
4. rows.py: a row for each group: its score with an interval, its difference to another row, its costs.
5. leaderboard.py: all rows in order, with the verdict of each comparison, and the Pareto fronts.
6. tables.py: the leaderboard as a table, Markdown, CSV and JSON.
7. picture.py: plots of the score against costs.
8. page.py and page.html.j2: the leaderboard on one page.
9. comparison.py: two runs: recipes, paired table, flipped images, ratios.
10. comparison_text.py: the comparison as lines, JSON and CSV.
"""
