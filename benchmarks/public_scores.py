"""Public raw scores that stay out of this project, because their licences differ.

Set RELOOK_PUBLIC_SCORES to a folder with atari100k/SPR.json, DrQ(eps).json, RANDOM.json and HUMAN.json (from
eloialonso/iris, results/data), halfcheetah/SAC.txt and TD3.txt (sac_hc_final_perfs.txt and td3_hc_final_perfs.txt
from ccolas/rl_stats, data), sensitivity/data_expected_over_seeds.csv (from jadkins99/hyperparameter_sensitivity,
analysis), and learning_curves/mujoco.csv with the columns source, method, env, seed, step and return (evaluations of
SAC from DAVIAN-Robotics/SimbaV2, of PPO from Holiday-Robot/FlashSAC and of TD3 from sfujim/TD3).
"""

import json
import os
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray


class Missing(Exception):
    """The scores are not here."""


def atari(method: str, seeds: int | None = None) -> list[NDArray[np.float64]]:
    """Human-normalised scores of 26 games at 100,000 steps. Raises `Missing` where the files are not."""
    folder = Path(os.environ.get("RELOOK_PUBLIC_SCORES", "")) / "atari100k"
    if not (folder / f"{method}.json").is_file():
        raise Missing(str(__doc__))
    runs, low, high = (json.loads((folder / f"{name}.json").read_text()) for name in (method, "RANDOM", "HUMAN"))
    return [(np.array(runs[game][:seeds]) - low[game][0]) / (high[game][0] - low[game][0]) for game in sorted(runs)]


def halfcheetah(method: str) -> NDArray[np.float64]:
    """Final returns of almost two hundred seeds of Spinning Up's SAC or TD3. Raises `Missing` where they are not."""
    path = Path(os.environ.get("RELOOK_PUBLIC_SCORES", "")) / "halfcheetah" / f"{method}.txt"
    if not path.is_file():
        raise Missing(str(__doc__))
    scores: NDArray[np.float64] = np.array([float(word) for word in path.read_text().split()])
    finite: NDArray[np.float64] = scores[np.isfinite(scores)]
    return finite


def sensitivity_of_ppo() -> tuple[list[tuple[float, ...]], NDArray[np.float64]]:
    """Settings (λ, entropy coefficient, both learning rates) and normalised scores [H, E] of the paper's PPO in Brax.

    What diverged is not in the table: it is -∞ here, and so never chosen. Raises `Missing` where the file is not.
    """
    path = Path(os.environ.get("RELOOK_PUBLIC_SCORES", "")) / "sensitivity" / "data_expected_over_seeds.csv"
    if not path.is_file():
        raise Missing(str(__doc__))
    names = ["gae_lambda", "ent_coef", "actor_lr", "critic_lr"]
    rows = pl.read_csv(path).filter(pl.col("alg_type") == "lambda_ac")
    wide = rows.pivot("env_name", index=names, values="percentile_normalized_return").sort(names).fill_null(-np.inf)
    return wide.select(names).rows(), wide.drop(names).to_numpy()


def mujoco() -> pl.DataFrame:
    """Evaluations of every seed, with the columns that the module names. Raises `Missing` where they are not."""
    path = Path(os.environ.get("RELOOK_PUBLIC_SCORES", "")) / "learning_curves" / "mujoco.csv"
    if not path.is_file():
        raise Missing(str(__doc__))
    return pl.read_csv(path, schema_overrides={"seed": pl.String})
