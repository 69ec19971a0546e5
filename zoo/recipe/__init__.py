"""Recipes: turn a YAML file into one frozen `Recipe`, or into one error line for each mistake in it.

In: the path of a file (or the name of a shipped recipe) and overrides such as `optim.lr=3e-4`. Out: a `Recipe` with all
values checked. Nothing heavy is loaded: no file here imports torch. Each option is a field of the class that uses it, so
most sections are defined elsewhere (zoo/data/options.py, zoo/models/options.py, ...); `sections.py` has the rest.

Read the files in this order:

1. yaml.py: parses text into plain values, records the place of every key, and applies overrides.
2. sections.py: the options of the run itself: image size, training, evaluation, output. distill.py: the teacher.
3. recipe.py: `Recipe`, all sections together, and the rules across them. stages.py: the rules for the stages of a run.
   varied.py: the options that vary images.
4. messages.py: checks values against the sections, and turns pydantic's errors into our error lines.
5. base.py: fills missing options from a base recipe.
6. load.py: reads, fills and checks a recipe with the modules above; also finds shipped recipes.
7. dump.py: writes YAML with every option filled in. save.py: a short file to edit. schema.py: the JSON schema for editors.
8. upgrade.py: recipes of existing runs, including runs begun by an earlier version. differences.py: compares two recipes.
"""
