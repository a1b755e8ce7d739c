"""Digital corruptions of images: contrast, elastic transform, pixelate, JPEG and saturate."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from hfmix.robustness.corruptions.image.filters import as_pixels, as_planes, smoothed
from hfmix.utils.keyed_noise import ImageKeys


def contrast(images: Tensor, factor: float, keys: ImageKeys, corrected: bool) -> Tensor:
    """Computes (x − mean) · factor + mean, with the mean of each channel of each image."""
    levels = images.float()
    mean = levels.mean(dim=(1, 2), keepdim=True)
    return levels.mul_(factor).add_(mean * (1 - factor))


def elastic_transform(
    images: Tensor, alpha_sigma_affine: tuple[float, float, float], keys: ImageKeys, corrected: bool
) -> Tensor:
    """Applies a random affine map, then displaces each pixel by smoothed noise."""
    alpha, sigma, affine = alpha_sigma_affine
    height, width = images.shape[1:3]
    moved = keys.uniform((3, 2)).mul_(2).sub_(1).mul_(affine)
    planes = affine_warped(as_planes(images), moved, grid=None if corrected else 32)
    if alpha:
        noise = keys.uniform((2, height, width), stream=1).mul_(2).sub_(1)
        planes = displaced(planes, smoothed(noise, sigma, "reflect", truncate=3).mul_(alpha))
    return as_pixels(planes)


def affine_warped(planes: Tensor, moved: Tensor, grid: int | None) -> Tensor:
    """Warps (B, C, H, W) affinely so that three points about the centre move by `moved`, (B, 3, 2) as (x, y).

    Bilinear, mirrored about the edge pixel. OpenCV's warpAffine, which the original uses, reads the image at
    coordinates rounded to 1 / `grid` of a pixel; with None they are not rounded.
    """
    height, width = planes.shape[2:]
    x, y, s = width // 2, height // 2, min(height, width) // 3
    points = torch.tensor([[x + s, y + s], [x + s, y - s], [x - s, y - s]], dtype=torch.float64)
    points = points.to(planes.device)
    target = points + moved
    # the inverse map, from the moved points: (u, v) = origin + a·(x − x₁) + b·(y − y₁)
    (ux, uy), (vx, vy) = ((target[:, i] - target[:, 1]).unbind(-1) for i in (0, 2))
    to_first, to_third = points[0] - points[1], points[2] - points[1]
    determinant = (ux * vy - uy * vx)[:, None]
    per_x = (to_first * vy[:, None] - to_third * uy[:, None]) / determinant
    per_y = (to_third * ux[:, None] - to_first * vx[:, None]) / determinant
    origin = points[1] - per_x * target[:, 1, :1] - per_y * target[:, 1, 1:]
    device = planes.device
    axes = []
    for axis, last in ((0, width - 1), (1, height - 1)):
        along, downwards, start = (part[:, axis].float()[:, None] for part in (per_x, per_y, origin))
        row = torch.arange(width, device=device) * along + start
        column = torch.arange(height, device=device) * downwards
        place = row[:, None] + column[:, :, None]
        if grid is not None:
            place = place.mul_(grid).add_(0.5).floor_().div_(grid)
        axes.append(place.mul_(2 / max(last, 1)).sub_(1))
    return F.grid_sample(planes, torch.stack(axes, -1), padding_mode="reflection", align_corners=True)


def displaced(planes: Tensor, displacement: Tensor) -> Tensor:
    """Reads (B, C, H, W) at each pixel plus its displacement, (B, 2, H, W) as (x, y); mirrored at the edge."""
    height, width = planes.shape[2:]
    rows, columns = (torch.arange(size, device=planes.device) for size in (height, width))
    x = (displacement[:, 0] + columns + 0.5) * (2 / width) - 1
    y = (displacement[:, 1] + rows[:, None] + 0.5) * (2 / height) - 1
    grid = torch.stack([x, y], -1)
    return F.grid_sample(planes, grid, padding_mode="reflection", align_corners=False)


def pixelate(images: Tensor, factor: float, keys: ImageKeys, corrected: bool) -> Tensor:
    """Shrinks by `factor` and enlarges again with Pillow's box filter."""
    height, width = images.shape[1:3]
    small = (max(int(width * factor), 1), max(int(height * factor), 1))

    def there_and_back(image: Image.Image) -> Image.Image:
        return image.resize(small, Image.Resampling.BOX).resize((width, height), Image.Resampling.BOX)

    return _with_pillow(images, there_and_back)


def jpeg_compression(images: Tensor, quality: int, keys: ImageKeys, corrected: bool) -> Tensor:
    """Encodes as JPEG with Pillow and decodes."""

    def encode(image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer)

    return _with_pillow(images, encode)


def saturate(images: Tensor, factor_and_shift: tuple[float, float], keys: ImageKeys, corrected: bool) -> Tensor:
    """Sets HSV's saturation to S · factor + shift, between 0 and 1; grey has the hue of red."""
    factor, shift = factor_and_shift
    levels = images.float()
    value = levels.amax(dim=-1, keepdim=True)
    chroma = value - levels.amin(dim=-1, keepdim=True)
    saturation = (chroma / value.clamp(min=1) * factor + shift).clamp_(0, 1)
    below = torch.where(chroma > 0, (value - levels) / chroma.clamp(min=1), levels.new_tensor([0.0, 1.0, 1.0]))
    return value - below * (saturation * value)


def _with_pillow(images: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    arrays = images.cpu().numpy()
    if arrays.shape[3] == 1:
        arrays = arrays[..., 0]

    def change_array(array: np.ndarray) -> np.ndarray:
        return np.asarray(change(Image.fromarray(array)))

    threads = min(torch.get_num_threads(), len(arrays))
    if threads == 1:
        changed = [change_array(array) for array in arrays]
    else:
        # Pillow releases the GIL; each thread gets one task, since starting a task costs as much as an image
        shares = np.array_split(arrays, threads)
        with ThreadPoolExecutor(threads) as pool:
            parts = pool.map(lambda share: [change_array(array) for array in share], shares)
            changed = [array for part in parts for array in part]
    return torch.from_numpy(np.stack(changed)).reshape(images.shape).to(images.device)
