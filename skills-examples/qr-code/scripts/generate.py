#!/usr/bin/env python3
"""Make a QR code image from text and save it in the output directory."""

import argparse
import json
import os
import sys
from pathlib import Path

LEVELS = ("L", "M", "Q", "H")
MAX_PIXELS = 4000


class Problem(Exception):
    """Something that the caller can correct."""


class Parser(argparse.ArgumentParser):
    """Reports wrong usage like every other problem, as JSON on stdout."""

    def error(self, message):
        raise Problem(message)


def parser():
    p = Parser(description=__doc__, epilog="Without --data, the same options are read as a JSON object from stdin.")
    p.add_argument("--data", help="text or link to encode")
    p.add_argument("--output", metavar="NAME", help="file name in the output directory (default: qrcode.png)")
    p.add_argument("--format", choices=("png", "svg"), help="default: by the ending of --output, else png")
    p.add_argument("--scale", type=int, metavar="N", help="pixels of one module, 1 to 100 (default: 10)")
    p.add_argument("--size", type=int, metavar="N", help="width and height of a PNG in pixels; excludes --scale")
    p.add_argument("--border", type=int, metavar="N", help="quiet zone in modules, 0 to 50 (default: 4)")
    p.add_argument("--error-correction", choices=LEVELS, type=str.upper, help="default: M")
    p.add_argument("--foreground", metavar="COLOUR", help="name or #rrggbb (default: black)")
    p.add_argument("--background", metavar="COLOUR", help="name or #rrggbb (default: white)")
    return p


def options(argv):
    """The options from the command line; what is missing there from stdin when there is no --data."""
    p = parser()
    given = vars(p.parse_args(argv))
    if given["data"] is not None or sys.stdin is None or sys.stdin.isatty():
        return given
    text = sys.stdin.read()
    if not text.strip():
        return given
    try:
        document = json.loads(text)
    except ValueError as error:
        raise Problem(f"stdin is not JSON ({error}); pass --data TEXT, or an object such as {{\"data\": \"TEXT\"}}") from None
    if not isinstance(document, dict):
        raise Problem("stdin must be a JSON object such as {\"data\": \"TEXT\"}")
    words = []
    for key, value in document.items():
        name = "error-correction" if key == "errorCorrection" else key.replace("_", "-")
        if name.replace("-", "_") not in given:
            raise Problem(f"unknown option in stdin: {key}; known are {', '.join(sorted(given))}")
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise Problem(f"{key} must be a string or a whole number")
        # One word, so that a value that starts with a dash is not read as an option.
        words.append(f"--{name}={value}")
    # What the command line says wins.
    return {**vars(p.parse_args(words)), **{key: value for key, value in given.items() if value is not None}}


def between(name, value, low, high):
    if not low <= value <= high:
        raise Problem(f"--{name} must be between {low} and {high}, not {value}")
    return value


def file_name(name, wanted):
    """The name of the file and its format, which agree whichever of the two was given."""
    name = name or f"qrcode.{wanted or 'png'}"
    # The output directory may be given with the name; nothing else may.
    directory, _, name = name.rpartition("/")
    if directory not in ("", ".") and Path(directory) != output_directory():
        raise Problem("--output is a file name without directories; it is saved in the output directory")
    if name in ("", ".", ".."):
        raise Problem("--output needs a file name, such as qrcode.png")
    ending = Path(name).suffix.lower()
    wanted = wanted or {".svg": "svg"}.get(ending, "png")
    if ending not in (".png", ".svg"):
        name += f".{wanted}"
    elif ending != f".{wanted}":
        name = f"{name[: -len(ending)]}.{wanted}"
    return name, wanted


def output_directory():
    return Path(os.environ.get("OUTPUT_DIR") or "/output")


def colour(option, text):
    from PIL import ImageColor

    try:
        return ImageColor.getrgb(text)[:3]
    except ValueError:
        raise Problem(f"--{option} must be a colour name or #rrggbb, not {text!r}") from None


def svg(code, border, foreground, background):
    """One path for all dark modules, so that no hairlines show between them."""
    modules = code.get_matrix()
    side = len(modules)
    path = []
    for y, row in enumerate(modules):
        x = 0
        while x < side:
            run = x
            while run < side and row[run]:
                run += 1
            if run > x:
                path.append(f"M{x} {y}h{run - x}v1h-{run - x}z")
            x = max(run, x + 1)
    to_hex = "#{:02x}{:02x}{:02x}".format
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" shape-rendering="crispEdges">'
        f'<rect width="{side}" height="{side}" fill="{to_hex(*background)}"/>'
        f'<path d="{"".join(path)}" fill="{to_hex(*foreground)}"/></svg>\n'
    )


def main(argv):
    o = options(argv)
    if not o["data"]:
        raise Problem("--data is missing: pass the text or link that the code should hold")
    if o["size"] is not None and o["scale"] is not None:
        raise Problem("give either --size or --scale, not both")
    name, wanted = file_name(o["output"], o["format"])
    border = between("border", 4 if o["border"] is None else o["border"], 0, 50)
    scale = between("scale", 10 if o["scale"] is None else o["scale"], 1, 100)
    level = o["error_correction"] or "M"

    import qrcode
    from qrcode.exceptions import DataOverflowError

    foreground = colour("foreground", o["foreground"] or "black")
    background = colour("background", o["background"] or "white")
    if foreground == background:
        raise Problem("--foreground and --background are the same colour, so nothing could be scanned")
    code = qrcode.QRCode(error_correction=getattr(qrcode, f"ERROR_CORRECT_{level}"), border=border, box_size=scale)
    code.add_data(o["data"])
    try:
        code.make(fit=True)
    except (DataOverflowError, ValueError):
        length = len(o["data"].encode())
        raise Problem(f"{length} bytes do not fit with error correction {level}; shorten the text or use L") from None

    side = code.modules_count + 2 * border
    width = between("size", o["size"], side, MAX_PIXELS) if o["size"] else side * scale
    if wanted == "png" and width > MAX_PIXELS:
        raise Problem(f"the image would be {width} pixels wide; use a --scale of at most {MAX_PIXELS // side}")

    directory = output_directory()
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / name
    if wanted == "svg":
        target.write_text(svg(code, border, foreground, background), encoding="utf-8")
        measure = {"modules": side}
    else:
        from PIL import Image

        if o["size"]:
            # Whole pixels for each module, and the rest as margin: resized modules would blur.
            code.box_size = width // side
        image = code.make_image(fill_color=foreground, back_color=background).get_image().convert("RGB")
        if image.width != width:
            sheet = Image.new("RGB", (width, width), background)
            sheet.paste(image, ((width - image.width) // 2,) * 2)
            image = sheet
        image.save(target, optimize=True)
        measure = {"width": width, "height": width}
    print(json.dumps({
        "saved": name,
        "path": str(target),
        "format": wanted,
        **measure,
        "version": code.version,
        "errorCorrection": level,
    }))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Problem as problem:
        print(json.dumps({"error": str(problem)}, ensure_ascii=False))
        sys.exit(1)
    except (OSError, ImportError) as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}, ensure_ascii=False))
        sys.exit(1)
