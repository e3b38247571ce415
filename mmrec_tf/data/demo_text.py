"""The demo shop's words: product kinds, titles, tags and descriptions.

A description carries its item's theme (a coastal lamp, a rustic mug) and no other part of the taste signal: no colour,
no sound, no price. Each theme has dozens of words and phrases of which a description uses a handful, so that a text
encoder has to learn that a harbour and a lighthouse belong together.
"""

import re
from itertools import cycle

import numpy as np

# (category, subcategory): price that is usual for it.
SUBCATEGORIES = {
    ("lighting", "table lamp"): 49,
    ("lighting", "pendant lamp"): 69,
    ("tableware", "mug"): 14,
    ("tableware", "teapot"): 36,
    ("textiles", "cushion"): 24,
    ("textiles", "blanket"): 45,
    ("clocks", "wall clock"): 35,
    ("clocks", "alarm clock"): 28,
    ("bags", "tote bag"): 26,
    ("bags", "backpack"): 62,
    ("wall decor", "poster"): 18,
    ("wall decor", "mirror"): 55,
    ("toys", "teddy bear"): 25,
    ("toys", "toy train"): 30,
    ("garden", "plant pot"): 19,
    ("garden", "watering can"): 27,
    ("furniture", "stool"): 75,
    ("furniture", "armchair"): 240,
    ("table accents", "candle"): 16,
    ("table accents", "vase"): 33,
}

MATERIALS = {
    "table lamp": ("steel", "ceramic", "ash wood", "linen"),
    "pendant lamp": ("steel", "glass", "paper", "rattan"),
    "mug": ("stoneware", "porcelain", "enamel", "bone china"),
    "teapot": ("stoneware", "porcelain", "cast iron", "enamel"),
    "cushion": ("cotton", "linen", "velvet", "wool"),
    "blanket": ("merino", "cotton", "fleece", "mohair"),
    "wall clock": ("birch", "steel", "acrylic", "cork"),
    "alarm clock": ("aluminium", "bamboo", "steel", "plastic"),
    "tote bag": ("canvas", "jute", "cotton", "felt"),
    "backpack": ("canvas", "nylon", "waxed cotton", "recycled polyester"),
    "poster": ("matte paper", "cotton paper", "recycled paper", "canvas"),
    "mirror": ("oak", "steel", "rattan", "walnut"),
    "teddy bear": ("plush", "organic cotton", "mohair", "corduroy"),
    "toy train": ("beech", "maple", "tin", "birch"),
    "plant pot": ("terracotta", "concrete", "stoneware", "fibre clay"),
    "watering can": ("zinc", "steel", "recycled plastic", "enamel"),
    "stool": ("oak", "birch", "steel", "cork"),
    "armchair": ("velvet", "linen", "wool", "corduroy"),
    "candle": ("soy wax", "beeswax", "rapeseed wax", "palm-free wax"),
    "vase": ("glass", "stoneware", "porcelain", "bisque"),
}

ROOMS = ("living room", "bedroom", "kitchen", "hallway", "office", "balcony", "nursery", "bathroom")
TRAITS = ("gift idea", "handmade", "recycled", "small space", "limited run", "easy care", "fair trade", "pet friendly")

# For each theme: adjectives, things that come to mind, details of the make, feelings.
THEMES = (
    (
        ("coastal", "seaside", "maritime", "salt-washed", "nautical", "beachy", "breezy", "shoreline"),
        (
            "a harbour at low tide", "driftwood on the beach", "sails along the coast", "a lighthouse in the dunes",
            "walks by the sea", "fishing boats at the pier", "waves on a pebble shore", "an island ferry in summer",
        ),
        ("knotted rope trim", "an anchor mark", "a seashell emblem", "a rim like a tide line", "a sailcloth label"),
        ("a holiday by the ocean", "sea air", "barefoot days on the sand", "the first swim of the year"),
    ),
    (
        ("nordic", "Scandinavian", "pared-back", "hygge", "minimal", "uncluttered", "fjord-like", "understated"),
        (
            "a cabin beside a fjord", "long Nordic winters", "snow outside the window", "a sauna at the lake",
            "midsummer in Lapland", "a quiet Copenhagen flat", "ice on the skerries", "a reindeer trail",
        ),
        ("clean lines", "simple joinery", "a snowflake stamp", "a minimalist outline", "nothing that is not needed"),
        ("hygge", "cosy simplicity", "calm on a snowy evening", "unhurried mornings"),
    ),
    (
        ("botanical", "leafy", "garden-fresh", "jungle-inspired", "mossy", "floral", "ferny", "verdant"),
        (
            "a greenhouse in May", "ferns under old trees", "a jungle of houseplants", "wildflowers in a meadow",
            "ivy on a garden wall", "herbs on the windowsill", "moss after rain", "an orchid in bloom",
        ),
        ("a leaf-shaped tab", "pressed-flower detail", "a vine relief", "a petal edge", "a botanist's sketch inside"),
        ("a breath of the forest", "gardening weather", "everything in blossom", "growing things"),
    ),
    (
        ("rustic", "farmhouse", "country-style", "homespun", "cottage", "weathered", "barn-inspired", "hearty"),
        (
            "a farmhouse kitchen", "hay bales behind the barn", "bread from a village oven", "an orchard at harvest",
            "a cottage with a woodstove", "hens in the yard", "a country market", "apple crates on a cart",
        ),
        ("hand-hewn marks", "a wheat-ear stamp", "homespun stitching", "a cartwheel motif", "a farmyard patina"),
        ("country Sundays", "harvest time", "the comfort of the hearth", "village life"),
    ),
    (
        ("romantic", "Victorian", "antique", "heirloom", "ornate", "lace-trimmed", "old-world", "nostalgic"),
        (
            "love letters in a drawer", "a ballroom by candlelight", "grandmother's parlour", "a rose in a locket",
            "an opera box", "lace curtains in a manor", "a Victorian tea room", "an antique bookshop",
        ),
        ("a scalloped lace edge", "a cameo medallion", "filigree corners", "a ribbon bow", "an heirloom monogram"),
        ("old-fashioned romance", "a keepsake", "poetry at dusk", "gentle nostalgia"),
    ),
    (
        ("retro", "sixties", "mid-century", "groovy", "diner-style", "disco-era", "atomic-age", "pop-art"),
        (
            "a jukebox in a diner", "a caravan in 1968", "roller discos", "a drive-in cinema",
            "vinyl records and lava lamps", "an old arcade", "a vintage Vespa", "a seventies talk show",
        ),
        ("rounded mid-century corners", "a boomerang motif", "a chunky dial", "a starburst badge", "pop-art lettering"),
        ("disco fever", "a milkshake with two straws", "the swinging sixties", "Saturday-night television"),
    ),
    (
        ("industrial", "urban", "loft-style", "raw-edged", "factory-inspired", "metropolitan", "streetwise", "gritty"),
        (
            "a loft in an old factory", "subway tiles and girders", "a warehouse by the tracks", "skyscrapers at night",
            "a machine hall", "scaffolding downtown", "graffiti in the underpass", "a workshop under the railway arch",
        ),
        ("exposed rivets", "a stencilled serial number", "visible welds", "a cogwheel clasp", "a blueprint label"),
        ("big-city energy", "downtown after midnight", "honest engineering", "the rhythm of the machine age"),
    ),
    (
        ("cosmic", "space-age", "futuristic", "lunar", "galactic", "sci-fi", "stellar", "orbital"),
        (
            "a rocket on the launch pad", "moonrise over a crater", "the rings of Saturn", "an astronaut's porthole",
            "a comet in the telescope", "a starship corridor", "a satellite in orbit", "nebulae and far galaxies",
        ),
        ("a constellation map", "an orbit ring", "a mission-patch badge", "a crater texture", "a cockpit-style finish"),
        ("zero gravity", "stargazing", "the final frontier", "tomorrow's world"),
    ),
)  # fmt: skip

OPENINGS = (
    "{Adjective} through and through, this {thing} recalls {scene}.",
    "A {adjective} {thing} for anyone who dreams of {scene}.",
    "Think of {scene}: that is where the idea for this {thing} began.",
    "This {thing} has something {adjective} about it, like {scene}.",
    "We wanted a {thing} with a {adjective} soul, and found it in {scene}.",
    "Some objects tell stories; this {thing} speaks of {scene}.",
)
MIDDLES = (
    "Look closely and you will find {detail}, a nod to {scene}.",
    "With {detail} it fits a {adjective} home.",
    "Our designers added {detail} and kept the {adjective} character.",
    "There is {detail}, and a hint of {feeling}.",
    "The {adjective} touch comes from {detail}.",
)
ENDINGS = (
    "For those who love {feeling}.",
    "It brings {feeling} into any room.",
    "A small piece of {feeling}, every day.",
    "Made with {scene} in mind.",
    "Give it to someone who cannot get enough of {feeling}.",
)
PLAIN = (
    "Made of {material} and finished by hand.",
    "The {material} is sourced in Europe and built to last.",
    "About {size} cm at its widest.",
    "Arrives in a sturdy box without plastic.",
    "Wipe clean with a damp cloth.",
    "Two years of guarantee and free returns.",
    "Slight differences between pieces are part of the {material}.",
    "Comes ready to use, no assembly needed.",
    "Measures {size} cm and weighs little more than it looks.",
    "Tested for everyday use at home.",
)

FIRST_SYLLABLES = ("Al", "Be", "Cor", "Da", "El", "Fi", "Ga", "Ha", "Io", "Ka", "Lo", "Mi", "No", "Pe", "Ri", "Sa")
LAST_SYLLABLES = ("bo", "da", "fen", "gil", "ka", "len", "mar", "nia", "po", "ran", "sel", "ta", "va", "wen", "zo")


def write_title(rng: np.random.Generator, subcategory: str) -> tuple[str, str]:
    """A product's title, such as "Corwen stoneware mug", and the material that it names."""
    material = str(rng.choice(MATERIALS[subcategory]))
    return f"{rng.choice(FIRST_SYLLABLES)}{rng.choice(LAST_SYLLABLES)} {material} {subcategory}", material


def write_description(rng: np.random.Generator, subcategory: str, material: str, theme: int) -> str:
    """Three to six sentences: an opening that names the theme, mixed with plain facts, and sometimes an ending."""
    themed = [OPENINGS, MIDDLES] + ([ENDINGS] if rng.random() < 0.6 else [])
    plain = list(rng.choice(PLAIN, size=rng.integers(1, 4), replace=False))
    sentences = [str(rng.choice(templates)) for templates in themed]
    for sentence in plain:
        sentences.insert(int(rng.integers(1, len(sentences) + 1)), str(sentence))
    # Shuffled once and used in turn, so that no two sentences name the same thing.
    words = [cycle(rng.permutation(choices)) for choices in THEMES[theme]]
    text = " ".join(_fill(rng, sentence, subcategory, material, words) for sentence in sentences)
    return re.sub(r"\b([Aa]) (?=[aeio]|u[nr]|heir)", r"\1n ", text)


def write_tags(rng: np.random.Generator, subcategory: str) -> str:
    """The subcategory and one to three tags that say where or why to use it, joined by `|`."""
    tags = rng.choice(ROOMS + TRAITS, size=rng.integers(1, 4), replace=False)
    return "|".join([subcategory, *(str(tag) for tag in tags)])


def _fill(rng, sentence, subcategory, material, words):
    adjective, scene, detail, feeling = (str(next(choices)) for choices in words)
    return sentence.format(
        adjective=adjective,
        Adjective=adjective[0].upper() + adjective[1:],
        scene=scene,
        detail=detail,
        feeling=feeling,
        material=material,
        size=rng.integers(8, 60),
        thing=subcategory,
    )
