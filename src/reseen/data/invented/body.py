"""The body of a walking person as solids, given their measures and the phase of the step.

Coordinates are the person's own: x to their right, y up from the ground, z to their front. Lengths
are shares of the height of the person until the end.
"""

from math import cos, pi, sin

from reseen.data.invented.people import BAG, BOTTOM, HAIR, HAT, SHOES, SKIN, SLEEVE, TOP, Person
from reseen.data.invented.render import BALL, BOX, CONE, Point, Solid

HIP, KNEE, ANKLE = 0.52, 0.245, 0.235
"""Height of the hip, and the lengths of thigh and shin."""


def pose(who: Person, phase: float, swing: float = 1.0) -> list[Solid]:
    """Return the solids of a walking person.

    Args:
        who: the person.
        phase: of the step, in radians; at 0 the legs pass each other.
        swing: 1 for walking, 0 for standing.

    Returns:
        Solids in metres, with the feet on the ground; cloths are positions in `who.cloths`.
    """
    legs = [_leg(who, side, phase + (pi if side > 0 else 0), swing) for side in (-1, 1)]
    ground = min(low for _, low in legs)
    solids = [solid for leg, _ in legs for solid in leg]
    upper = [
        *_torso(who),
        *_head(who),
        *_arm(who, -1, phase, swing),
        *_arm(who, 1, phase + pi, swing),
        *_bag(who),
    ]
    solids += [_leaning(solid, who.lean) for solid in upper]
    return [_scaled(solid, who.stature, ground) for solid in solids]


def _leaning(solid: Solid, lean: float) -> Solid:
    def moved(point: Point) -> Point:
        x, y, z = point
        return x, y, z + lean * (y - HIP)

    return solid._replace(foot=moved(solid.foot), head=moved(solid.head))


def _scaled(solid: Solid, stature: float, ground: float) -> Solid:
    (ax, ay, az), (bx, by, bz) = solid.foot, solid.head
    return solid._replace(
        foot=(stature * ax, stature * (ay - ground), stature * az),
        head=(stature * bx, stature * (by - ground), stature * bz),
        wide=stature * solid.wide,
        deep=stature * solid.deep,
    )


def _along(start: Point, angle: float, length: float, out: float = 0.0) -> Point:
    """Return the point at a distance below a joint: `angle` forward, `out` to the right."""
    x, y, z = start
    return x + length * sin(out), y - length * cos(angle) * cos(out), z + length * sin(angle)


def _limb(
    a: Point, b: Point, thick: float, thin: float, cloth: int, end: float = 2.0, bare: int = SKIN
) -> Solid:
    """A limb from joint a to joint b, clothed as far as the share `end` of it."""
    return Solid(CONE, b, a, thin, thin, cloth, thick / thin, bare, 1 - 2 * end)


def _ball(centre: Point, wide: float, tall: float, deep: float, cloth: int) -> Solid:
    x, y, z = centre
    return Solid(BALL, (x, y - tall, z), (x, y + tall, z), wide, deep, cloth)


def _leg(who: Person, side: int, phase: float, swing: float) -> tuple[list[Solid], float]:
    b = who.breadth**0.7
    loose = 1.12 if who.bottom_length > 1 and who.legs == "trousers" else 1.0
    narrow = 0.5 if who.legs == "skirt" or who.coat > 0.45 else 1.0
    angle = swing * who.stride * narrow * 0.42 * sin(phase) + 0.03
    bend = 0.06 + swing * narrow * 0.75 * max(0.0, cos(phase + 0.3)) ** 1.5
    hip = (side * 0.045 * who.hips * b, HIP, 0.0)
    knee = _along(hip, angle, KNEE)
    ankle = _along(knee, angle - bend, ANKLE)
    tip = 0.9 * (angle - bend) if angle < bend else 0.3 * (angle - bend)
    heel = (ankle[0], ankle[1] - 0.022 - 0.02 * sin(tip), ankle[2] - 0.02 * cos(tip))
    toe = (ankle[0] + side * 0.012, heel[1] + 0.125 * sin(tip), heel[2] + 0.125 * cos(tip))
    skirt = who.legs == "skirt"
    thigh, shin = (SKIN, SKIN) if skirt else (BOTTOM, BOTTOM)
    end = who.bottom_length
    solids = [
        _limb(hip, knee, 0.053 * b * loose, 0.037 * b * loose, thigh, 2 * end),
        _ball(knee, 0.037 * b * loose, 0.037 * b, 0.037 * b * loose, SKIN if end < 0.5 else thigh),
        _limb(knee, ankle, 0.037 * b * loose, 0.024 * b * loose**2, shin, 2 * end - 1),
        _ball(ankle, 0.023, 0.026, 0.026, SHOES),
        Solid(CONE, heel, toe, 0.024, 0.02, SHOES, 0.85),
        _ball(toe, 0.021, 0.014, 0.022, SHOES),
        _ball((heel[0], heel[1] + 0.004, heel[2]), 0.023, 0.02, 0.022, SHOES),
    ]
    return solids, min(heel[1], toe[1]) - 0.016


def _torso(who: Person) -> list[Solid]:
    b, s, h = who.breadth, who.shoulders, who.hips
    waist, deep = 0.074 * b * (1 + 0.5 * who.belly), 0.056 * b * (1 + who.belly)
    hip, chest = 0.088 * b**0.8 * h, 0.094 * b**0.8 * s
    hem = 0.5 if who.coat or who.legs != "skirt" else 0.56
    solids = [
        Solid(CONE, (0, 0.47, 0), (0, 0.6, 0.004), hip, 0.064 * b, BOTTOM, waist / hip),
        Solid(CONE, (0, hem, 0), (0, 0.64, 0.006), 1.06 * hip, 0.068 * b, TOP, waist / hip),
        Solid(CONE, (0, 0.62, 0.006), (0, 0.75, 0.006), waist * 1.03, deep, TOP, chest / waist),
        Solid(CONE, (0, 0.75, 0.006), (0, 0.8, 0), chest, 0.066 * b, TOP, 0.96),
        Solid(CONE, (0, 0.8, 0), (0, 0.868, -0.006), 0.97 * chest, 0.062 * b, TOP, 0.36),
        _ball((0, 0.6, 0.012), waist * 0.98, 0.07, deep * 1.08, TOP),
        _ball((0, 0.75, 0.014), chest * 0.95, 0.07, 0.066 * b, TOP),
        _ball((0, 0.5, -0.012), hip * 0.98, 0.055, 0.066 * b, BOTTOM),
    ]
    if who.legs == "skirt":
        low = 0.5 - 0.26 * who.bottom_length
        solids.append(
            Solid(CONE, (0, low, 0), (0, 0.56, 0), 1.5 * hip, 0.15, BOTTOM, waist / hip / 1.5)
        )
    if who.coat:
        low = 0.5 - 0.3 * who.coat
        solids.append(Solid(CONE, (0, low, 0), (0, 0.62, 0), 1.28 * hip, 0.115, TOP, 0.74))
    if who.hood:
        solids.append(_ball((0, 0.84, -0.045), 0.055, 0.035, 0.035, TOP))
    return solids


def _head(who: Person) -> list[Solid]:
    solids = [
        Solid(CONE, (0, 0.83, -0.004), (0, 0.885, 0.004), 0.031, 0.031, SKIN, 0.9),
        _ball((0, 0.93, 0.014), 0.042, 0.064, 0.05, SKIN),
        _ball((0, 0.922, 0.058), 0.009, 0.014, 0.012, SKIN),
    ]
    if who.hair != "bald":
        solids += [
            _ball((0, 0.96, 0.0), 0.046, 0.046, 0.057, HAIR),
            _ball((0, 0.925, -0.016), 0.045, 0.045, 0.042, HAIR),
        ]
    if who.hair == "long":
        solids.append(_ball((0, 0.865, -0.035), 0.05, 0.085, 0.028, HAIR))
    elif who.hair == "bob":
        solids.append(_ball((0, 0.905, -0.012), 0.056, 0.05, 0.045, HAIR))
    elif who.hair == "tail":
        solids.append(_ball((0, 0.885, -0.068), 0.018, 0.07, 0.018, HAIR))
    elif who.hair == "bun":
        solids.append(_ball((0, 0.985, -0.04), 0.024, 0.022, 0.024, HAIR))
    if who.hat != "none":
        solids.append(_ball((0, 0.962, 0), 0.05, 0.046, 0.058, HAT))
    if who.hat == "cap":
        solids.append(Solid(BOX, (0, 0.958, 0.068), (0, 0.965, 0.068), 0.036, 0.03, HAT))
    elif who.hat == "brim":
        solids.append(Solid(CONE, (0, 0.952, 0), (0, 0.962, 0), 0.09, 0.095, HAT, 0.9))
    return solids


def _arm(who: Person, side: int, phase: float, swing: float) -> list[Solid]:
    b = who.breadth**0.7 * (1.15 if who.sleeve > 1 else 1.0)
    carries = who.bag == "hand" and side == who.bag_side
    angle = (0.3 if carries else 1) * swing * who.stride * 0.36 * sin(phase) + 0.02
    shoulder = (side * 0.094 * who.shoulders * who.breadth**0.8, 0.79, 0.0)
    out = side * (0.1 + 0.12 * max(0.0, who.breadth + who.belly - 1))
    elbow = _along(shoulder, angle, 0.172, out)
    wrist = _along(elbow, angle + 0.22 + 0.2 * max(0.0, swing * sin(phase)), 0.145, 0.2 * out)
    hand = _along(wrist, angle + 0.3, 0.04)
    end = 2 * who.sleeve
    return [
        _ball(shoulder, 0.031 * b, 0.035, 0.034 * b, SLEEVE),
        _limb(shoulder, elbow, 0.03 * b, 0.026 * b, SLEEVE, end),
        _ball(elbow, 0.026 * b, 0.026 * b, 0.026 * b, SLEEVE if end > 1 else SKIN),
        _limb(elbow, wrist, 0.026 * b, 0.018 * b, SLEEVE, end - 1),
        Solid(BALL, _along(wrist, angle, -0.01), hand, 0.014, 0.022, SKIN),
        *(_held(hand) if carries else ()),
    ]


def _held(hand: Point) -> list[Solid]:
    x, y, z = hand
    bag = Solid(BOX, (x, y - 0.19, z), (x, y - 0.05, z), 0.026, 0.085, BAG)
    strap = Solid(CONE, (x, y - 0.06, z - 0.05), (x, y, z), 0.005, 0.005, BAG)
    return [bag, strap, strap._replace(foot=(x, y - 0.06, z + 0.05))]


def _bag(who: Person) -> list[Solid]:
    b, side = who.breadth, who.bag_side
    if who.bag == "backpack":
        low, deep = 0.56, 0.075 * b
        straps = [
            Solid(CONE, (1.2 * x, 0.68, 0.068 * b), (x, 0.836, 0.032), 0.013, 0.012, BAG)
            for x in (-0.055 * b, 0.055 * b)
        ]
        return [
            Solid(BOX, (0, low, -0.04 - deep), (0, 0.8, -0.03 - deep), 0.075, 0.042, BAG),
            _ball((0, 0.79, -0.035 - deep), 0.074, 0.035, 0.045, BAG),
            _ball((0, 0.62, -0.08 - deep), 0.055, 0.06, 0.025, BAG),
            *straps,
        ]
    if who.bag in ("shoulder", "messenger"):
        hang = 0.5 if who.bag == "messenger" else 0.57
        x = side * (0.125 * b + 0.015)
        over = -0.055 * side if who.bag == "messenger" else 0.075 * side
        straps = [
            Solid(CONE, *ends, 0.011, 0.013, BAG)
            for z in (0.088 * b, -0.078 * b)
            for chest in [((x + over) / 2, 0.72, z)]
            for ends in (((x, hang + 0.05, 0.6 * z), chest), (chest, (over, 0.85, 0.3 * z)))
        ]
        return [Solid(BOX, (x, hang - 0.055, 0), (x, hang + 0.06, 0), 0.026, 0.095, BAG), *straps]
    return []
