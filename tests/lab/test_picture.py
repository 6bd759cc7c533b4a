from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw, ImageFilter

from diffusion.lab import picture

SHAPE = (1, 28, 28)


def drawn(size=(300, 400), ink=20, paper=235, mode="L", angle=0.0) -> Image.Image:
    """A seven, drawn with a thick pen somewhere on a sheet."""
    image = Image.new("L", size, paper)
    w, h = size
    points = [(0.3 * w, 0.3 * h), (0.6 * w, 0.3 * h), (0.42 * w, 0.7 * h)]
    ImageDraw.Draw(image).line(points, fill=ink, width=w // 14, joint="curve")
    return image.rotate(angle, Image.Resampling.BICUBIC, fillcolor=paper).convert(mode)


def photographed() -> Image.Image:
    """The same on grey paper in uneven light, tilted, with the grain of a camera."""
    image = np.asarray(drawn((600, 800), ink=60, paper=190, angle=8), dtype=float)
    rows, columns = np.indices(image.shape)
    light = 0.55 + 0.45 * (rows / 800 + columns / 600) / 2
    grain = np.random.default_rng(0).normal(0, 5, image.shape)
    blurred = Image.fromarray((image * light + grain).clip(0, 255).astype(np.uint8))
    return blurred.filter(ImageFilter.GaussianBlur(1)).convert("RGB")


def saved(image: Image.Image, kind="PNG", **options) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def loaded(image: Image.Image, kind="PNG", **options) -> np.ndarray:
    return picture.load(saved(image, kind, **options), SHAPE)[0]


@pytest.fixture(scope="module")
def seven() -> np.ndarray:
    return loaded(drawn())


def alike(a: np.ndarray, b: np.ndarray) -> bool:
    return np.abs(a.astype(int) - b).mean() < 6


def test_it_is_cut_out_and_centred_as_a_digit_of_mnist(seven):
    rows, columns = (np.flatnonzero(seven.any(axis)) for axis in (1, 0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    ys, xs = np.indices(seven.shape)
    weight = seven / seven.sum()
    assert abs((ys * weight).sum() - 14) <= 0.6
    assert abs((xs * weight).sum() - 14) <= 0.6
    assert seven.max() == 255
    assert (seven == 0).mean() > 0.6
    assert ((seven > 30) & (seven < 225)).sum() > 0


def exif_turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned right by a quarter
    return saved(drawn().rotate(90, expand=True), "JPEG", exif=exif)


def transparent(ink: int) -> Image.Image:
    image = drawn(ink=ink, paper=0 if ink else 255).convert("RGBA")
    strokes = drawn(ink=255, paper=0)
    image.putalpha(strokes)
    return image


def sixteen_bits() -> Image.Image:
    return Image.fromarray(np.asarray(drawn()).astype(np.uint16) * 257)


def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


KINDS = {
    "light on dark": lambda: saved(drawn(ink=250, paper=10)),
    "faint": lambda: saved(drawn(ink=150, paper=190)),
    "colour, JPEG": lambda: saved(drawn(mode="RGB"), "JPEG"),
    "WebP": lambda: saved(drawn(mode="RGB"), "WEBP"),
    "palette": lambda: saved(drawn().convert("P")),
    "bitmap": lambda: saved(drawn(ink=0, paper=255, mode="1")),
    "turned by EXIF": exif_turned,
    "dark on transparent": lambda: saved(transparent(0)),
    "light on transparent": lambda: saved(transparent(255)),
    "animated": lambda: saved(drawn(), "GIF", save_all=True, append_images=[drawn(ink=235)]),
    "CMYK": lambda: saved(drawn(mode="CMYK"), "JPEG"),
    "16 bits": lambda: saved(sixteen_bits()),
    "with a profile": lambda: saved(drawn(mode="RGB"), icc_profile=profile()),
    "with a broken profile": lambda: saved(drawn(mode="RGB"), icc_profile=b"nothing"),
    "large": lambda: saved(drawn((1500, 2000))),
    "small": lambda: saved(drawn((90, 120))),
    "photographed": lambda: saved(photographed().rotate(-8, Image.Resampling.BICUBIC).crop((60, 60, 540, 740))),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_picture_comes_to_the_same(seven, kind):
    found = picture.load(KINDS[kind](), SHAPE)
    assert found.shape == (1, 28, 28)
    assert found.dtype == np.uint8
    assert alike(found[0], seven)


def test_a_photographed_digit_is_clean(pipe):
    digit = loaded(photographed(), "JPEG")
    assert (digit[[0, -1]] == 0).all()
    assert (digit == 0).mean() > 0.6
    assert digit.max() == 255


def test_a_real_digit_stays_nearly_as_it_is(digits):
    for image in digits[0][::40].numpy():
        assert np.abs(picture.load(saved(Image.fromarray(image)), SHAPE)[0].astype(int) - image).mean() < 10
        assert np.array_equal(picture.load(saved(Image.fromarray(image)), SHAPE, as_is=True)[0], image)


def test_other_models_get_pictures_of_their_shape():
    assert picture.load(saved(drawn(mode="RGB")), (3, 32, 32)).shape == (1, 32, 32, 3)
    assert picture.load(saved(drawn()), (1, 12, 20)).shape == (1, 12, 20)


def test_a_file_of_digits_is_a_batch(digits, tmp_path, mnist_folder):
    images = digits[0].numpy()
    np.savez_compressed(tmp_path / "some.npz", images=images)
    assert np.array_equal(picture.load(tmp_path / "some.npz", SHAPE), images)
    idx = mnist_folder / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    assert np.array_equal(picture.load(idx, SHAPE), images)


def bomb() -> bytes:
    """The head of a PNG of 20,000 x 20,000 pixels."""
    import struct
    import zlib

    head = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head)) + b"\0\0\1\0IDAT"


def npz(**arrays) -> bytes:
    file = BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


BAD = {
    "empty file": (b"", "is empty"),
    "no picture": (b"a letter", "no picture that can be read"),
    "cut short": (saved(drawn())[:300], "damaged or cut short"),
    "white paper": (saved(Image.new("L", (200, 200), 255)), "no digit on this picture"),
    "grain": (
        saved(Image.fromarray(np.random.default_rng(0).normal(200, 3, (200, 200)).astype(np.uint8))),
        "no digit on this picture",
    ),
    "a dot": (saved(drawn((800, 800), ink=255, paper=255).resize((800, 800))), "no digit"),
    "all transparent": (saved(Image.new("RGBA", (50, 50), (0, 0, 0, 0))), "no digit"),
    "400 megapixels": (bomb(), "megapixels"),
    "100 megapixels": (saved(Image.new("1", (10_000, 10_000))), "megapixels"),
    "no images inside": (npz(labels=np.zeros(3)), "no digits that can be read"),
    "other numbers": (npz(images=np.zeros((3, 28, 28))), "whole numbers from 0 to 255"),
    "other size": (npz(images=np.zeros((3, 20, 20), np.uint8)), "must be 28 x 28 pixels in grey"),
    "objects": (npz(images=np.array([None, {}])), "no digits that can be read"),
    "short IDX": (b"\0\0\x08\3" + np.array([9, 28, 28], ">i4").tobytes(), "no digits that can be read"),
    "zip": (b"PK\3\4 nothing", "no digits that can be read"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_refused_in_a_sentence(kind, refuses):
    content, told = BAD[kind]
    with refuses(told):
        picture.load(content, SHAPE)


def test_bad_paths_and_sizes_are_refused(tmp_path, refuses):
    with refuses("Cannot read"):
        picture.load(tmp_path / "none.png", SHAPE)
    with refuses("must be 28 x 28 pixels in grey"):
        picture.load(saved(drawn()), SHAPE, as_is=True)


def test_packed_pictures_are_small_and_come_back(digits):
    for image in digits[0][::50].numpy():
        text = picture.packed(image)
        assert len(text) < 800
        assert np.array_equal(picture.unpacked(text), image)
    colour = np.random.default_rng(0).integers(0, 255, (8, 9, 3), dtype=np.uint8)
    assert np.array_equal(picture.unpacked(picture.packed(colour)), colour)
