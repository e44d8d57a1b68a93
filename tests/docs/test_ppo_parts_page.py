"""docs/studies/ppo-parts.md is what the scores of its ablations say."""

import re

from benchmarks.ablation import PAGE, TABLE, page

from relook.statistics.scores import of_table


def test_the_page_is_what_its_scores_say() -> None:
    made = PAGE.read_text(encoding="utf-8")
    assert page() == made, "run python -m benchmarks.ablation page"
    for image in re.findall(r"\]\((\.\./images/[^)]+)\)", made):
        assert (PAGE.parent / image).is_file()


def test_every_arm_has_its_seeds() -> None:
    found: dict[tuple[str, str], set[int]] = {}
    for training in of_table(TABLE):
        found.setdefault((training.task, training.method), set()).add(training.seed)
    assert all(len(seeds) == (32 if arm in ("full", "base") else 10) for (_, arm), seeds in found.items())
