"""Two towns that differ like two real sites, and the settings of their difficulty."""

from dataclasses import dataclass, field, fields

from reseen.data.invented.people import Wardrobe
from reseen.data.invented.scenery import Site
from reseen.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Difficulty:
    """How difficult a town is; each from 0 (easy) to 1."""

    camera_gap: float = 0.6
    """How much cameras differ in colour, light, noise and sharpness."""
    look_alikes: float = 0.3
    """Share of people who are dressed like somebody else."""
    occlusion: float = 0.3
    """How often a person is partly hidden by somebody or something."""
    box_error: float = 0.4
    """How inaccurate the bounding boxes are."""

    def __post_init__(self):
        for knob in fields(self):
            value = getattr(self, knob.name)
            if not 0 <= value <= 1:
                raise SettingsError(f"{knob.name} is {value}. Use a number from 0 to 1.")


@dataclass(frozen=True, kw_only=True)
class Town:
    """A place with its people, its cameras and its difficulty."""

    key: int
    wardrobe: Wardrobe
    site: Site
    difficulty: Difficulty = field(default_factory=Difficulty)


TOWNS = {
    "town-a": Town(
        key=1,
        wardrobe=Wardrobe(
            tops=(
                "black white white silver grey navy blue sky red pink "
                "green purple beige yellow teal cream orange olive"
            ),
            bottoms="black charcoal denim denim washed khaki beige grey navy white",
            coats=0.05,
            shorts=0.35,
            skirts=0.16,
            hats=0.15,
            bags=0.65,
            short_sleeves=0.7,
            patterned=0.45,
        ),
        site=Site(
            grounds=("asphalt", "paving", "grass", "sand", "cobbles", "slabs"),
            walls=("brick", "plaster", "hedge", "windows", "concrete"),
            things=("tree", "bushes", "bikes", "bench", "car", "bin", "bushes"),
            heights=(2.2, 3.6),
            distances=(7, 14),
            sun=(0.1, 1.3),
            warmth=(-0.06, 0.08),
            haze=(0.02, 0.14),
            noise=(1.0, 5.0),
            blur=(0.4, 1.2),
            sharpness=(0.55, 1.0),
            quality=(55, 90),
        ),
        difficulty=Difficulty(camera_gap=0.7, look_alikes=0.3, occlusion=0.25, box_error=0.4),
    ),
    "town-b": Town(
        key=2,
        wardrobe=Wardrobe(
            tops=(
                "black black black charcoal charcoal grey navy navy "
                "brown olive burgundy beige khaki white blue red"
            ),
            bottoms="black black charcoal denim denim navy grey brown",
            coats=0.6,
            shorts=0.01,
            skirts=0.08,
            hats=0.35,
            bags=0.7,
            short_sleeves=0.08,
            patterned=0.25,
        ),
        site=Site(
            grounds=("lino", "slabs", "carpet", "asphalt", "paving"),
            walls=("panels", "concrete", "shutters", "windows", "planks"),
            things=("poster", "pillar", "machine", "bench", "bin", "poster", "car"),
            heights=(2.8, 5.5),
            distances=(6, 12),
            sun=(0.0, 0.35),
            warmth=(-0.14, 0.16),
            haze=(0.0, 0.08),
            noise=(1.5, 6.0),
            blur=(0.5, 1.6),
            sharpness=(0.45, 0.9),
            quality=(40, 85),
        ),
        difficulty=Difficulty(camera_gap=0.8, look_alikes=0.3, occlusion=0.3, box_error=0.45),
    ),
}


def find_town(town: str | Town) -> Town:
    """Return a town by its name; a `Town` is returned unchanged.

    Raises:
        SettingsError: the town does not exist.
    """
    if isinstance(town, Town):
        return town
    if town not in TOWNS:
        raise SettingsError(f"There is no town {town!r}. Choose one of {', '.join(TOWNS)}.")
    return TOWNS[town]
