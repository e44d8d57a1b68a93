"""Recorded episodes as pictures: played again from their actions, with what the agent thought beside them."""

import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from relook.envs import EnvironmentSpec, ObservationSpace, play_again
from relook.errors import RelookError, WrongRequest
from relook.runs.reading import Run
from relook.runs.verifying import difference

HEIGHT, WIDEST, PANEL = 240, 360, 190
"""Pixels: a picture's height and most width, and the width of what stands beside it."""
PAPER, INK, GREY, LINE, SECOND = "#ffffff", "#222222", "#8a8a8a", "#0072B2", "#D55E00"


@dataclass(frozen=True)
class Shot:
    """One moment of an episode: the picture after `step` steps, and what belongs to it."""

    picture: Image.Image
    step: int
    ret: float
    """Return so far."""
    value: float | None
    """V(s) of what is seen, as it was estimated then."""
    action: NDArray[Any] | None
    """What is done about it; None at the end."""


def without_a_screen() -> None:
    """Draw into memory where there is no screen. To be called before an environment that draws is made."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        os.environ.setdefault("MUJOCO_GL", "egl")


def shots(run: Run, spec: EnvironmentSpec, episode: Mapping[str, Any]) -> Iterator[Shot]:
    """The moments of a recorded episode, from its reset to its end.

    Raises `WrongRequest` if the environment draws no pictures, `RelookError` if the episode does not come out as it was
    recorded: that is looked at before the first shot.
    """
    if episode["ending"] not in ("crashed", "diverged") and (found := difference(run, spec, episode)) is not None:
        raise RelookError(
            f"episode {episode['episode']} of agent {episode['agent']} cannot be shown as it was: {found}"
        )
    actions, values = run.recorded_actions(episode), run.recorded_values(episode)
    env = spec.make(render_mode="rgb_array")
    try:
        ret = 0.0
        space = ObservationSpace(env.observation_space)
        for t, moment in enumerate(play_again(env, space, episode["reset_seed"], actions)):
            ret += moment.reward
            value = None if values is None or t >= len(values) else float(values[t])
            yield Shot(_picture(env), t, ret, value, actions[t] if t < len(actions) else None)
    finally:
        env.close()


def _picture(env: Any) -> Image.Image:
    try:
        drawn = env.render()
    except Exception as error:
        raise WrongRequest(f"this environment cannot be drawn here: {type(error).__name__}: {error}") from error
    if not isinstance(drawn, np.ndarray) or drawn.ndim != 3:
        raise WrongRequest(f"expected the environment to draw an RGB array; it gave {type(drawn).__name__}")
    picture = Image.fromarray(drawn[..., :3].astype(np.uint8))
    scale = min(HEIGHT / picture.height, WIDEST / picture.width)
    return picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)


def tile(
    shot: Shot, past: Sequence[Shot], title: str, ends: str | None, scales: Mapping[str, tuple[float, float]]
) -> Image.Image:
    """One agent's part of a frame: the picture, and beside it return so far, V(s) and action."""
    image = Image.new("RGB", (shot.picture.width + PANEL, HEIGHT), PAPER)
    image.paste(shot.picture, (0, (HEIGHT - shot.picture.height) // 2))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, image.width - 1, image.height - 1), outline="#cccccc")
    x, width = shot.picture.width + 10, PANEL - 20
    draw.text((x, 6), title, INK, _font(14))
    draw.text((x, 26), ends or f"step {shot.step}", SECOND if ends else GREY, _font(12))
    draw.text((x, 46), f"return {shot.ret:,.1f}", INK, _font(12))
    _curve(draw, (x, 64, width, 44), [s.ret for s in past], LINE, scales["ret"], scales["step"])
    if shot.value is not None or any(s.value is not None for s in past):
        shown = "" if shot.value is None else f"{shot.value:,.1f}"
        draw.text((x, 114), f"V(s) {shown}", INK, _font(12))
        _curve(draw, (x, 132, width, 44), [s.value for s in past], SECOND, scales["value"], scales["step"])
    draw.text((x, 182), "action", INK, _font(12))
    if shot.action is not None:
        _action(draw, (x, 200, width, 34), shot.action, scales["action"])
    return image


def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _curve(
    draw: ImageDraw.ImageDraw,
    box: tuple[int, int, int, int],
    numbers: Sequence[float | None],
    colour: str,
    heights: tuple[float, float],
    steps: tuple[float, float],
) -> None:
    """Numbers over time, in a box (x, y, width, height), on scales that stay the same for a whole film."""
    x, y, width, height = box
    draw.rectangle((x, y, x + width, y + height), outline="#dddddd")
    low, high = heights
    points = [
        (x + width * t / max(1.0, steps[1]), y + height - height * (number - low) / ((high - low) or 1.0))
        for t, number in enumerate(numbers)
        if number is not None
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


def _scales(films: Sequence[Sequence[Shot]]) -> dict[str, tuple[float, float]]:
    """The lowest and the highest of everything that is drawn as a curve or a bar."""
    whole = [shot for film in films for shot in film]
    values = [shot.value for shot in whole if shot.value is not None] or [0.0]
    returns = [shot.ret for shot in whole]
    actions = [float(x) for shot in whole if shot.action is not None for x in np.ravel(shot.action)] or [0.0]
    steps = (0.0, float(max(shot.step for shot in whole)))
    return {
        "ret": (min(0.0, *returns), max(0.0, *returns)),
        "value": (min(0.0, *values), max(0.0, *values)),
        "action": (min(actions), max(actions)),
        "step": steps,
    }


def frames(films: Sequence[Sequence[Shot]], titles: Sequence[str], endings: Sequence[str]) -> Iterator[Image.Image]:
    """The frames of a film of several episodes side by side; an episode that is over keeps its last picture."""
    scales, columns = _scales(films), math.ceil(math.sqrt(len(films) / 2)) if len(films) > 1 else 1
    for t, _ in enumerate(zip_longest(*films)):
        tiles = []
        for film, title, ending in zip(films, titles, endings, strict=True):
            now = min(t, len(film) - 1)
            over = f"{ending} at step {film[now].step:,}" if t >= len(film) - 1 else None
            tiles.append(tile(film[now], film[: now + 1], title, over, scales))
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


def filmstrip(rows: Sequence[tuple[str, str, Sequence[Shot]]], pictures: int = 6) -> Image.Image:
    """One row for each episode, with its title and a line below it, and so many moments of it, evenly spaced."""
    strips = []
    for title, line, film in rows:
        chosen = [film[round(k)] for k in np.linspace(0, len(film) - 1, pictures)]
        width, height = chosen[0].picture.size
        height = round(height * 200 / width)
        strip = Image.new("RGB", (150 + pictures * 204, height + 22), PAPER)
        draw = ImageDraw.Draw(strip)
        draw.text((8, height / 2 - 20), title, INK, _font(15))
        draw.text((8, height / 2 + 2), line, GREY, _font(13))
        for k, shot in enumerate(chosen):
            strip.paste(shot.picture.resize((200, height), Image.Resampling.LANCZOS), (150 + k * 204, 2))
            draw.rectangle((150 + k * 204, 2, 349 + k * 204, height + 1), outline="#cccccc")
            draw.text((154 + k * 204, height + 3), f"step {shot.step}  return {shot.ret:,.1f}", GREY, _font(11))
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
            "MP4 needs a package that is not installed: pip install 'relook[video]'; or write a .gif"
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
