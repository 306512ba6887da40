"""Landscapes drawn from a prompt: the picture of a still image and of every frame of a video.

A scene depends only on its prompt, seed and position, so the same order always looks the same. Its layers are drawn
once; a frame only pastes them, each a little further along than in the last frame, so a video costs little.
"""

import hashlib
import math
import random
import textwrap
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageChops, ImageDraw, ImageFont

Color = tuple[int, int, int]

_LABEL = "made by the local cloud, not by a model"
_RIDGES = 5
# Fonts with Chinese glyphs under the names that Windows, macOS and the Linux distributions give them.
_CJK_FONTS = (
    "msyh.ttc",
    "PingFang.ttc",
    "STHeiti Medium.ttc",
    "NotoSansCJK-Regular.ttc",
    "NotoSansSC-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
)
_FIRST_CJK = 0x2E80
_LAST_LATIN = 0x24F


@dataclass(frozen=True)
class Subject:
    """The parameters of a scene."""

    prompt: str
    seed: int
    position: int
    width: int
    height: int


@dataclass(frozen=True)
class _Palette:
    """The colours of an hour of the day."""

    zenith: Color
    horizon: Color
    glow: Color
    far: Color
    near: Color
    stars: bool = False


_PALETTES = (
    _Palette((88, 95, 182), (255, 190, 152), (255, 240, 214), (196, 136, 166), (43, 30, 66)),  # dawn
    _Palette((56, 139, 205), (214, 240, 244), (255, 252, 235), (146, 196, 214), (18, 62, 84)),  # morning
    _Palette((60, 26, 92), (250, 122, 92), (255, 214, 140), (170, 70, 112), (27, 13, 44)),  # sunset
    _Palette((8, 14, 44), (46, 92, 138), (226, 236, 255), (44, 78, 118), (6, 12, 28), stars=True),  # night
    _Palette((30, 14, 62), (214, 84, 150), (255, 206, 226), (132, 54, 124), (20, 9, 40), stars=True),  # neon
    _Palette((6, 28, 48), (60, 178, 158), (220, 255, 240), (38, 112, 116), (4, 20, 32), stars=True),  # aurora
    _Palette((224, 128, 96), (255, 226, 170), (255, 250, 228), (222, 152, 118), (74, 34, 44)),  # desert
)


@dataclass(frozen=True)
class _Ridge:
    """A range of hills as a strip that repeats after ``period`` pixels, so that it can drift for ever."""

    color: Image.Image
    mask: Image.Image
    top: int
    period: int
    laps_per_minute: int


class Scene:
    """A landscape at one size; ``frame`` draws it at any moment."""

    def __init__(self, subject: Subject) -> None:
        self._size = (subject.width, subject.height)
        key = f"{subject.prompt}\0{subject.seed}\0{subject.position}"
        chance = random.Random(hashlib.sha256(key.encode()).digest())  # noqa: S311 - a drawing, not a secret
        palette = chance.choice(_PALETTES)
        self._sky = self._draw_sky(chance, palette)
        self._glow = self._draw_glow(chance, palette)
        self._glow_at = (chance.uniform(0.25, 0.75), chance.uniform(0.30, 0.42))
        self._ridges = [self._draw_ridge(chance, palette, depth) for depth in range(_RIDGES)]
        self._caption, self._caption_at = self._draw_caption(subject.prompt)

    def frame(self, at_s: float) -> Image.Image:
        """Draw the scene as it is ``at_s`` seconds after its start."""
        width, height = self._size
        picture = self._sky.copy()
        rise = math.sin(at_s * 0.35) * 0.05
        across, down = self._glow_at
        corner = (int(width * across) - self._glow.width // 2, int(height * (down - rise)) - self._glow.height // 2)
        picture.paste(self._glow, corner, self._glow)
        for ridge in self._ridges:
            shift = round(at_s / 60 * ridge.laps_per_minute * ridge.period) % ridge.period
            window = (shift, 0, shift + width, ridge.mask.height)
            picture.paste(ridge.color, (0, ridge.top), ridge.mask.crop(window))
        picture.paste(self._caption, self._caption_at, self._caption)
        return picture

    def _draw_sky(self, chance: random.Random, palette: _Palette) -> Image.Image:
        """Blend a few colours over the whole sky: a tiny picture, enlarged smoothly."""
        rows, columns = 4, 3
        mesh = Image.new("RGB", (columns, rows))
        for row in range(rows):
            for column in range(columns):
                # The colour of the horizon is reached where the hills begin.
                down = min(1.0, max(0.0, row / (rows - 1) * 1.3 + chance.uniform(-0.14, 0.14)))
                mesh.putpixel((column, row), _blend(palette.zenith, palette.horizon, down))
        sky = mesh.resize(self._size, Image.Resampling.BICUBIC)
        if palette.stars:
            self._scatter_stars(chance, sky)
        return sky

    def _scatter_stars(self, chance: random.Random, sky: Image.Image) -> None:
        width, height = self._size
        draw = ImageDraw.Draw(sky, "RGBA")
        for _ in range(90):
            x, y = chance.uniform(0, width), height * 0.5 * chance.random() ** 1.6
            radius = max(width, height) / 1400 * chance.uniform(0.5, 1.6)
            draw.ellipse(
                (x - radius, y - radius, x + radius, y + radius), fill=(255, 255, 255, chance.randint(70, 220))
            )

    def _draw_glow(self, chance: random.Random, palette: _Palette) -> Image.Image:
        """Draw the sun or the moon with its halo."""
        extent = int(min(self._size) * chance.uniform(0.75, 0.95))
        light = ImageChops.invert(Image.radial_gradient("L")).resize((extent, extent), Image.Resampling.BICUBIC)
        # Squared from a threshold on, the light fades out well before the sprite's sides, where an edge would show.
        halo = light.point([round(max(0, level - 75) ** 2 / 250) for level in range(256)])
        disc = _smooth_disc(extent, radius=extent * 0.12)
        glow = Image.new("RGB", (extent, extent), palette.glow)
        glow.putalpha(ImageChops.lighter(halo, disc))
        return glow

    def _draw_ridge(self, chance: random.Random, palette: _Palette, depth: int) -> _Ridge:
        """Draw the hills of one distance: the nearer, the lower, the darker and the faster."""
        width, height = self._size
        near = depth / (_RIDGES - 1)
        top, rise = _ridge_top(height, depth), height * 0.15
        waves = [(cycles, chance.uniform(0, math.tau), 1 / (1 + cycles * 0.55)) for cycles in (1, 2, 3, 5, 8)]
        total = sum(weight for *_, weight in waves)

        def crest(x: float) -> float:
            turn = x / width * math.tau
            swing = sum(weight * math.sin(cycles * turn + phase) for cycles, phase, weight in waves) / total
            return rise * (0.5 - 0.5 * swing)

        # The hills end where the next ridge covers everything, because each pasted row costs time in every frame.
        bottom = height if depth == _RIDGES - 1 else math.ceil(_ridge_top(height, depth + 1) + rise)
        extent = bottom - top
        mask = Image.new("L", (4 * width, 2 * extent))
        outline = [(2 * x, 2 * crest(x)) for x in range(0, 2 * width + 4, 4)]
        ImageDraw.Draw(mask).polygon([*outline, (4 * width, 2 * extent), (0, 2 * extent)], fill=255)
        crown = _blend(palette.far, palette.near, near)
        color = _vertical_gradient(crown, _blend(crown, palette.horizon, 0.22 * (1 - near)), (width, extent))
        return _Ridge(color, mask.reduce(2), top, period=width, laps_per_minute=1 + depth)

    def _draw_caption(self, prompt: str) -> tuple[Image.Image, tuple[int, int]]:
        """Set the prompt on a dark glass pane in the lower left corner, and say below who drew this."""
        width, height = self._size
        unit = min(width, height) / 100
        title_font, letters = _font_for(prompt, max(10, round(unit * 3.9)))
        label_font = ImageFont.load_default(max(8, round(unit * 2.0)))
        margin, padding = round(unit * 5), round(unit * 3)
        lines = _wrap(letters, title_font, width - 2 * (margin + padding), most_lines=3)
        draw = ImageDraw.Draw(Image.new("L", (1, 1)))
        title_box = (0.0, 0.0, 0.0, 0.0)
        if lines:
            title_box = draw.multiline_textbbox((0, 0), "\n".join(lines), font=title_font, spacing=unit)
        label_box = draw.textbbox((0, 0), _LABEL, font=label_font)
        gap = unit * 1.6 if lines else 0
        pane_width = math.ceil(max(title_box[2], label_box[2]) + 2 * padding)
        pane_height = math.ceil(title_box[3] + gap + label_box[3] + 2 * padding)
        pane = Image.new("RGBA", (pane_width, pane_height))
        mask = Image.new("L", (pane_width * 2, pane_height * 2), 0)
        ImageDraw.Draw(mask).rounded_rectangle(
            (0, 0, pane_width * 2 - 1, pane_height * 2 - 1), radius=unit * 4.4, fill=112
        )
        pane.putalpha(mask.reduce(2))
        draw = ImageDraw.Draw(pane)
        if lines:
            draw.multiline_text((padding, padding), "\n".join(lines), font=title_font, fill="white", spacing=unit)
        draw.text((padding, padding + title_box[3] + gap), _LABEL, font=label_font, fill=(255, 255, 255, 190))
        return pane, (margin, height - margin - pane_height)


def _blend(one: Color, other: Color, share: float) -> Color:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _ridge_top(height: int, depth: int) -> int:
    return int(height * (0.46 + 0.36 * depth / (_RIDGES - 1)))


def _vertical_gradient(top: Color, bottom: Color, size: tuple[int, int]) -> Image.Image:
    pair = Image.new("RGB", (1, 2))
    pair.putpixel((0, 0), top)
    pair.putpixel((0, 1), bottom)
    return pair.resize(size, Image.Resampling.BILINEAR)


def _smooth_disc(extent: int, radius: float) -> Image.Image:
    # Drawn at twice the size and reduced, which smooths the edge.
    disc = Image.new("L", (2 * extent, 2 * extent))
    ImageDraw.Draw(disc).circle((extent, extent), 2 * radius, fill=255)
    return disc.reduce(2)


@cache
def _cjk_font_name() -> str | None:
    for name in _CJK_FONTS:
        try:
            ImageFont.truetype(name, 12)
        except OSError:
            continue
        return name
    return None


def _font_for(prompt: str, size: int) -> tuple[ImageFont.FreeTypeFont | ImageFont.ImageFont, str]:
    """Choose a font for ``prompt`` and return with it the characters that it can show.

    Pillow's own font is Latin. If the system has no Chinese font, the characters that would appear as empty boxes
    are left out.
    """
    if any(ord(letter) >= _FIRST_CJK for letter in prompt) and (name := _cjk_font_name()):
        return ImageFont.truetype(name, size), prompt
    shown = "".join(letter if ord(letter) <= _LAST_LATIN or letter in "–—‘’“”…" else " " for letter in prompt)
    return ImageFont.load_default(size), " ".join(shown.split())


def _wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float, *, most_lines: int) -> list[str]:
    """Break ``text`` into lines of at most ``width`` pixels; text that does not fit ends in an ellipsis."""
    if not text:
        return []
    per_letter = max(1.0, font.getlength(text) / len(text))
    return textwrap.wrap(
        text, max(8, int(width / per_letter)), max_lines=most_lines, placeholder=" …", break_long_words=True
    )
