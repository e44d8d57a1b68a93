"""Records out: what runs hold, for other people's tools. The runs stay the source, and nothing here changes them."""

FORMATS = {
    "parquet": "one tidy table of everything, a row for each number",
    "tensorboard": "event files, a directory for each agent",
    "wandb": "offline runs of Weights & Biases, which wandb sync uploads",
    "mlflow": "an SQLite database of MLflow",
    "trackio": "a project of trackio",
}
"""Formats, each in the file of its name: its `write(runs, out)` returns the command that looks at the result."""
