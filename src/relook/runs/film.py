"""Recorded episodes as pictures: played again from their actions, with what the agent thought beside them."""

import math
import os
import sys
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from relook.envs import EnvironmentSpec, ObservationSpace, play_again
from relook.errors import RelookError, WrongRequest
from relook.runs.reading import Run
from relook.runs.verifying import difference

HEIGHT, WIDEST, PANEL = 240, 360, 210
"""Pixels: a picture's height and most width, and the width of what stands beside it."""
PAPER, INK, GREY, LINE, SECOND = "#ffffff", "#222222", "#8a8a8a", "#0072B2", "#D55E00"


@dataclass(frozen=True)
class Film:
    """A recorded episode of `length` steps, to be looked at."""

    spec: EnvironmentSpec
    reset_seed: int | None
    title: str
    ending: str
    actions: NDArray[Any]
    """What was done [L, …]."""
    returns: NDArray[np.float64]
    """Return so far [L + 1]: after the reset, and after each step."""
    values: NDArray[np.floating] | None
    """V(s) as it was estimated then [L] or [L + 1]; None if it was not recorded."""

    @property
    def length(self) -> int:
        return len(self.returns) - 1

    def value(self, step: int) -> float | None:
        return None if self.values is None or step >= len(self.values) else float(self.values[step])

    def pictures(self, env: gym.Env[Any, Any], steps: Container[int]) -> Iterator[Image.Image]:
        """Pictures after these steps, drawn one at a time by an environment that was made for it."""
        moments = play_again(env, ObservationSpace(env.observation_space), self.reset_seed, self.actions)
        yield from (_picture(env) for t, _ in enumerate(moments) if t in steps)


def without_a_screen() -> None:
    """Draw into memory where there is no screen. To be called before an environment that draws is made."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        os.environ.setdefault("MUJOCO_GL", "egl")


def film(run: Run, spec: EnvironmentSpec, episode: Mapping[str, Any], title: str) -> Film:
    """A recorded episode. Raises `RelookError` if it does not come out as it was recorded."""
    if episode["ending"] not in ("crashed", "diverged") and (found := difference(run, spec, episode)) is not None:
        raise RelookError(
            f"episode {episode['episode']} of agent {episode['agent']} cannot be shown as it was: {found}"
        )
    actions = run.recorded_actions(episode)
    with closing(spec.make()) as env:
        moments = play_again(env, ObservationSpace(env.observation_space), episode["reset_seed"], actions)
        returns = np.cumsum([moment.reward for moment in moments])
    return Film(spec, episode["reset_seed"], title, episode["ending"], actions, returns, run.recorded_values(episode))


def _drawing(spec: EnvironmentSpec) -> gym.Env[Any, Any]:
    """An environment that draws, with a camera that goes along: Gymnasium lets HalfCheetah run out of the picture."""
    env = spec.make(render_mode="rgb_array")
    renderer = getattr(env.unwrapped, "mujoco_renderer", None)
    if renderer is not None and renderer.camera_id == -1 and "trackbodyid" not in (renderer.default_cam_config or {}):
        cameras = [renderer.model.camera(k).name for k in range(renderer.model.ncam)]
        renderer.camera_id = cameras.index("track") if "track" in cameras else -1
    return env


def _picture(env: Any) -> Image.Image:
    try:
        drawn = env.render()
    except Exception as error:
        raise WrongRequest(f"this environment cannot be drawn here: {type(error).__name__}: {error}") from error
    if not isinstance(drawn, np.ndarray) or drawn.ndim != 3:
        raise WrongRequest(f"expected the environment to draw an RGB array; it gave {type(drawn).__name__}")
    picture = Image.fromarray(drawn[..., :3].astype(np.uint8))
    scale = min(HEIGHT / picture.height, WIDEST / picture.width)
    return picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BILINEAR)


def tile(film: Film, step: int, picture: Image.Image, scales: Mapping[str, tuple[float, float]]) -> Image.Image:
    """One agent's part of a frame: the picture, and beside it return so far, V(s) and action."""
    image = Image.new("RGB", (picture.width + PANEL, HEIGHT), PAPER)
    image.paste(picture, (0, (HEIGHT - picture.height) // 2))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, image.width - 1, image.height - 1), outline="#cccccc")
    x, width, over = picture.width + 10, PANEL - 20, step == film.length
    draw.text((x, 6), film.title, INK, _font(13))
    line = f"{film.ending} at step {step:,}" if over else f"step {step:,}"
    draw.text((x, 26), line, SECOND if over else GREY, _font(12))
    draw.text((x, 46), f"return {film.returns[step]:,.1f}", INK, _font(12))
    _curve(draw, (x, 64, width, 44), film.returns[: step + 1], LINE, scales["return"], scales["step"])
    if film.values is not None:
        value = film.value(step)
        draw.text((x, 114), "V(s)" if value is None else f"V(s) {value:,.1f}", INK, _font(12))
        _curve(draw, (x, 132, width, 44), film.values[: step + 1], SECOND, scales["value"], scales["step"])
    draw.text((x, 182), "action", INK, _font(12))
    if not over:
        _action(draw, (x, 200, width, 34), film.actions[step], scales["action"])
    return image


def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _curve(
    draw: ImageDraw.ImageDraw,
    box: tuple[int, int, int, int],
    numbers: NDArray[np.floating],
    colour: str,
    heights: tuple[float, float],
    steps: tuple[float, float],
) -> None:
    """Numbers over time, in a box (x, y, width, height), on scales that stay the same for a whole film."""
    x, y, width, height = box
    draw.rectangle((x, y, x + width, y + height), outline="#dddddd")
    low, high = heights
    every = 1 + int(steps[1]) // width  # more than one point to a pixel would take time only
    shown = {len(numbers) - 1} | set(range(0, len(numbers), every))
    points = [
        (x + width * t / max(1.0, steps[1]), y + height - height * (number - low) / ((high - low) or 1.0))
        for t, number in ((t, float(numbers[t])) for t in sorted(shown))
    ]
    if low < 0 < high:
        zero = y + height + height * low / (high - low)
        draw.line((x, zero, x + width, zero), fill="#dddddd")
    if len(points) > 1:
        draw.line(points, fill=colour, width=2)
    if points:
        px, py = points[-1]
        draw.ellipse((px - 2, py - 2, px + 2, py + 2), fill=colour)


def _action(
    draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], action: NDArray[Any], bounds: tuple[float, float]
) -> None:
    """A choice as its number; numbers as bars to both sides of 0."""
    x, y, width, height = box
    if np.issubdtype(action.dtype, np.integer):
        draw.text((x, y), " ".join(map(str, np.ravel(action))), INK, _font(16))
        return
    most = max(abs(bounds[0]), abs(bounds[1])) or 1.0
    numbers = np.ravel(action)
    each = width / len(numbers)
    middle = y + height / 2
    draw.line((x, middle, x + width, middle), fill="#dddddd")
    for k, number in enumerate(numbers):
        tip = middle - height / 2 * float(np.clip(number / most, -1, 1))
        draw.rectangle((x + k * each + 1, min(middle, tip), x + (k + 1) * each - 1, max(middle, tip)), fill=LINE)


def _scales(films: Sequence[Film]) -> dict[str, tuple[float, float]]:
    """The lowest and the highest of everything that is drawn as a curve or a bar."""

    def ends(parts: Iterable[NDArray[Any] | None]) -> tuple[float, float]:
        numbers = np.concatenate([[0.0], *(np.ravel(part) for part in parts if part is not None)])
        return float(numbers.min()), float(numbers.max())

    return {
        "return": ends(film.returns for film in films),
        "value": ends(film.values for film in films),
        "action": ends(film.actions for film in films),
        "step": (0.0, float(max(film.length for film in films))),
    }


def frames(films: Sequence[Film]) -> Iterator[Image.Image]:
    """Several episodes side by side; an episode that is over keeps its last picture.

    Raises `WrongRequest` if the environment draws no pictures.
    """
    scales, columns = _scales(films), math.ceil(math.sqrt(len(films) / 2)) if len(films) > 1 else 1
    with ExitStack() as stack:  # pygame ends for all environments when one is closed
        envs = [stack.enter_context(closing(_drawing(film.spec))) for film in films]
        drawn = [film.pictures(env, range(film.length + 1)) for film, env in zip(films, envs, strict=True)]
        tiles = [Image.new("RGB", (1, 1))] * len(films)
        for step in range(1 + max(film.length for film in films)):
            for k, film in enumerate(films):
                if step <= film.length:
                    tiles[k] = tile(film, step, next(drawn[k]), scales)
            yield grid(tiles, columns)


def grid(tiles: Sequence[Image.Image], columns: int) -> Image.Image:
    """Pictures of one size in rows, with even sides, as films want them."""
    width, height = max(t.width for t in tiles), max(t.height for t in tiles)
    rows = math.ceil(len(tiles) / columns)
    size = (columns * width + columns * width % 2, rows * height + rows * height % 2)
    image = Image.new("RGB", size, PAPER)
    for k, one in enumerate(tiles):
        image.paste(one, (k % columns * width, k // columns * height))
    return image


def filmstrip(films: Sequence[Film], pictures: int = 6) -> Image.Image:
    """One row for each episode, with its title and its return, and so many moments of it, evenly spaced."""
    strips = []
    for film in films:
        steps = np.linspace(0, film.length, pictures).round().astype(int).tolist()
        with closing(_drawing(film.spec)) as env:
            drawn = dict(zip(sorted(set(steps)), film.pictures(env, set(steps)), strict=True))
        width, height = drawn[0].size
        height = round(height * 200 / width)
        strip = Image.new("RGB", (150 + pictures * 204, height + 22), PAPER)
        draw = ImageDraw.Draw(strip)
        draw.text((8, height / 2 - 20), film.title, INK, _font(15))
        draw.text((8, height / 2 + 2), f"return {film.returns[-1]:,.1f}", GREY, _font(13))
        for k, step in enumerate(steps):
            strip.paste(drawn[step].resize((200, height), Image.Resampling.LANCZOS), (150 + k * 204, 2))
            draw.rectangle((150 + k * 204, 2, 349 + k * 204, height + 1), outline="#cccccc")
            line = f"step {step:,}  return {film.returns[step]:,.1f}"
            draw.text((154 + k * 204, height + 3), line, GREY, _font(11))
        strips.append(strip)
    return grid(strips, 1)


def write(path: Path, pictures: Iterator[Image.Image], fps: float) -> None:
    """Write a film as GIF or MP4, by the ending of its name. Raises `WrongRequest` for another ending."""
    if path.suffix == ".gif":
        first, *others = (picture.convert("P", palette=Image.Palette.ADAPTIVE) for picture in pictures)
        # A GIF counts in hundredths of a second, and viewers slow down what is faster than two of them.
        first.save(path, save_all=True, append_images=others, duration=max(20, round(100 / fps) * 10), loop=0)
        return
    if path.suffix != ".mp4":
        raise WrongRequest(f"expected a film's name to end in .mp4 or .gif; found {path.name}")
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise WrongRequest(
            "MP4 needs a package that is not installed: pip install '.[video]' in relook's folder; or write a .gif"
        ) from error
    first = next(pictures)
    writer = imageio_ffmpeg.write_frames(str(path), first.size, fps=fps, macro_block_size=2, quality=8)
    writer.send(None)
    try:
        writer.send(first.tobytes())
        for picture in pictures:
            writer.send(picture.tobytes())
    except OSError as error:
        raise RelookError(f"cannot write {path}: {error}") from error
    finally:
        writer.close()
