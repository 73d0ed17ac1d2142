"""What the name of a recorded file tells: the batch size, and the image that a result is of."""

import re

PURE = "pure_infer_data"  # stands for the image where the model was given none
BATCH = re.compile(r"(?<![A-Za-z])bs[_-]?([1-9]\d*)", re.I)


def named_batch(name: str) -> int | None:
    """Return 8 for conformer_base_bs8.om, the last where there are several, None for a name without batch size."""
    found = BATCH.findall(name)
    return int(found[-1]) if found else None


def images_by_result(stems: list[str]) -> dict[str, str]:
    """Return name of a first output, without suffix -> stem of its image, as every release names it.

    Two releases numbered the images in their order instead. A later line overrules an earlier one, should a stem look like that.
    """
    images = dict.fromkeys([*stems, f"{PURE}_0"], PURE)  # an image itself may end in _0 and is no result
    images |= {f"sample_id_{number}_output_0": stem for number, stem in enumerate(alphabetical(stems))}
    images |= {f"input{number}_output_0": stem for number, stem in enumerate(natural(stems))}
    images |= {f"{stem}_output_0": stem for stem in stems}  # msame
    images |= {f"{stem}_0": stem for stem in stems}  # ais_bench
    return images


def alphabetical(stems: list[str]) -> list[str]:
    """Return the order in which ais_infer took its input files at first."""
    return sorted(stems, key=lambda stem: f"{stem}.bin")


def natural(stems: list[str]) -> list[str]:
    """Return the order in which it takes them since: img_2 before img_10."""
    return sorted(stems, key=lambda stem: [int(part) if part.isdigit() else part.lower() for part in re.split("([0-9]+)", f"{stem}.bin")])
