"""Fine-tune any timm backbone by name, from a YAML recipe."""

__version__ = "0.1.0"
