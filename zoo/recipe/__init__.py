"""A recipe: a YAML file becomes one frozen `Recipe`, or one line for each mistake in it.

In: a file's path (or the name of a shipped recipe) and overrides such as `optim.lr=3e-4`. Out: a `Recipe` whose values are
all checked, and nothing loaded yet: no file here imports torch. Each option is a field of the class that acts on it, so
most sections are defined elsewhere (zoo/data/options.py, zoo/models/options.py, ...); `sections.py` has the rest.

Read the files in this order:

1. yaml.py: text to plain values, with the place of every key; overrides are set on top.
2. sections.py: the options of the run itself: image size, training, evaluation, output. distill.py: a teacher.
3. recipe.py: `Recipe`, all sections together, and the rules that hold across them. stages.py: those of the stages of a run;
   varied.py: what varies images.
4. messages.py: values are checked against the sections; pydantic's errors become our lines.
5. base.py: a recipe takes what it lacks from another one.
6. load.py: the five above in a row; also finds shipped recipes.
7. dump.py: back to YAML, every option filled in. save.py: a short file to edit. schema.py: the JSON schema for editors.
8. upgrade.py: recipes of runs, also of those that an earlier version began. differences.py: two recipes compared.
"""
