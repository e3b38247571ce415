"""Who likes what in the demo shop, and what they therefore bought: the taste signal, by construction.

A demonstration of a multimodal recommender proves little if one table column explains every choice. Here a user's
utility for an item is a sum of parts, each of which can be read off one source alone: the look off the photo, the sound
off the jingle, the theme off the words, category and price off the table, quality off how often others chose the item,
and one part off nothing but who else chose it. Choices are drawn from a softmax over these utilities (the multinomial
logit of McFadden, 1974), so even a recommender that knows them exactly is far from certain.
"""

from dataclasses import dataclass

import numpy as np

from mmrec_tf.data.demo_text import SUBCATEGORIES

PALETTES = 8
MOODS = 8
THEMES = 8
PATTERNS = 5
HIDDEN = 3

COUNTRIES = ("AT", "DE", "DK", "ES", "FR", "IT", "NL", "PL")
HOUSEHOLDS = ("alone", "couple", "family", "shared flat")

# Standard deviation of each part over the items, for a user of average strength of opinion.
STRENGTH = {
    "look": 1.3,
    "sound": 1.25,
    "theme": 1.25,
    "category": 0.8,
    "price": 0.62,
    "quality": 0.65,
    "id_only": 0.75,
}

# What standing on the "new in" shelf adds to an item's utility, so that new items take a visible share of late choices.
NEW_BONUS = 1.0

SHARE_NEW = 0.1
# New items appear after this share of all interactions; the split of the demo's configuration tests the last 12 %.
RELEASED_FROM, RELEASED_UNTIL = 0.885, 0.92
LEAST_ACTIVITY = 5


@dataclass(frozen=True)
class ItemTraits:
    """What is true of each item, `[items]` each unless said otherwise; the media and words are made from it.

    `palette`, `mood` and `theme` are positions on a circle of eight: neighbours are alike, opposites differ most.
    """

    subcategory: np.ndarray
    palette: np.ndarray
    pattern: np.ndarray
    mood: np.ndarray
    theme: np.ndarray
    price: np.ndarray
    quality: np.ndarray
    hidden: np.ndarray  # [items, HIDDEN]
    released: np.ndarray  # share of the interactions that came before; -inf for the standing range

    @property
    def category(self) -> np.ndarray:
        names = list(dict.fromkeys(category for category, _ in SUBCATEGORIES))
        return np.array([names.index(category) for category, _ in SUBCATEGORIES])[self.subcategory]

    @property
    def is_new(self) -> np.ndarray:
        return np.isfinite(self.released)


@dataclass(frozen=True)
class UserTraits:
    """What is true of each user: what the users table says (`country`, `household`, `age`) and what it does not."""

    country: np.ndarray
    household: np.ndarray
    age: np.ndarray
    joined: np.ndarray  # share of the half year that had passed
    palette_angle: np.ndarray
    mood_angle: np.ndarray
    theme_angle: np.ndarray
    pattern: np.ndarray  # [users, PATTERNS]
    subcategory: np.ndarray  # [users, subcategories]
    price: np.ndarray
    hidden: np.ndarray  # [users, HIDDEN]
    weight: np.ndarray  # [users, parts]: how much each part matters to this user, mean square 1


def draw_items(rng: np.random.Generator, count: int) -> ItemTraits:
    """Draws `count` items; every trait is independent of every other, but price depends on the category."""
    subcategory = _balanced(rng, count, len(SUBCATEGORIES))
    base = np.array(list(SUBCATEGORIES.values()))[subcategory]
    released = np.full(count, -np.inf)
    new = rng.choice(count, size=max(1, round(SHARE_NEW * count)), replace=False)
    released[new] = rng.uniform(RELEASED_FROM, RELEASED_UNTIL, size=len(new))
    # The first is there from the start of the test period, so that even a tiny shop has new items to be tested on.
    released[new[0]] = RELEASED_FROM
    return ItemTraits(
        subcategory=subcategory,
        palette=_balanced(rng, count, PALETTES),
        pattern=_balanced(rng, count, PATTERNS),
        mood=_balanced(rng, count, MOODS),
        theme=_balanced(rng, count, THEMES),
        price=np.maximum(2, np.round(base * np.exp(rng.normal(0, 0.35, count)))) - rng.choice([0.01, 0.05, 0.5], count),
        quality=_standardised(rng.normal(size=count)),
        hidden=rng.normal(size=(count, HIDDEN)),
        released=released,
    )


def draw_users(rng: np.random.Generator, count: int) -> UserTraits:
    """Draws `count` users. What the table says of them hints at their taste, and no more than hints."""
    country = rng.integers(len(COUNTRIES), size=count)
    household = rng.integers(len(HOUSEHOLDS), size=count)
    age = np.clip(np.round(rng.gamma(6, 4.5, count) + 16), 18, 85).astype(int)
    # A fifth of the users joined during the half year, a few of them during its last weeks.
    joined = np.where(rng.random(count) < 0.8, 0.0, rng.uniform(0, 0.97, count))
    weight = rng.lognormal(0, 0.3, size=(count, len(STRENGTH)))
    return UserTraits(
        country=country,
        household=household,
        age=age,
        joined=joined,
        palette_angle=rng.vonmises(2 * np.pi * country / len(COUNTRIES) - np.pi, 0.5),
        mood_angle=rng.vonmises((np.clip(age, 18, 70) - 44) / 26 * np.pi / 2, 0.5),
        theme_angle=rng.vonmises(2 * np.pi * household / len(HOUSEHOLDS) - np.pi, 0.5),
        pattern=rng.normal(size=(count, PATTERNS)),
        subcategory=_category_taste(rng, count),
        price=rng.normal(size=count),
        hidden=rng.normal(size=(count, HIDDEN)),
        weight=weight / np.sqrt((weight**2).mean(axis=0)),
    )


def utility_parts(users: UserTraits, items: ItemTraits) -> dict[str, np.ndarray]:
    """The parts whose sum is the utility, `[users, items]` each; no part reads what another part reads."""

    def circle(angle, position, positions):
        return np.sqrt(2) * np.cos(angle[:, None] - 2 * np.pi * position[None, :] / positions)

    palette = circle(users.palette_angle, items.palette, PALETTES)
    raw = {
        "look": np.sqrt(0.65) * palette + np.sqrt(0.35) * users.pattern[:, items.pattern],
        "sound": circle(users.mood_angle, items.mood, MOODS),
        "theme": circle(users.theme_angle, items.theme, THEMES),
        "category": users.subcategory[:, items.subcategory],
        "price": users.price[:, None] * _standardised(np.log(items.price))[None, :],
        "quality": np.repeat(items.quality[None, :], len(users.age), axis=0),
        "id_only": users.hidden @ items.hidden.T / np.sqrt(HIDDEN),
    }
    return {
        name: (STRENGTH[name] * users.weight[:, [place]] * raw[name]).astype(np.float32)
        for place, name in enumerate(STRENGTH)
    }


def draw_activity(rng: np.random.Generator, users: int, interactions: int, most: int) -> np.ndarray:
    """How many interactions each user has: `LEAST_ACTIVITY` to `most`, long-tailed, summing up exactly."""
    count = np.full(users, LEAST_ACTIVITY)
    appetite = rng.lognormal(0, 0.9, users)
    while (left := interactions - count.sum()) > 0:
        appetite[count >= most] = 0
        share = np.floor(left * appetite / appetite.sum()).astype(int)
        if not share.any():
            share[np.argsort(-appetite, kind="stable")[:left]] = 1
        count = np.minimum(count + share, most)
    return count


def draw_choices(
    rng: np.random.Generator, utility: np.ndarray, users: UserTraits, items: ItemTraits, activity: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws what each user chose and when; nobody chooses an item twice or before it is released.

    Args:
        utility: `[users, items]` float.
        activity: `[users]` int. How many interactions each user has.

    Returns:
        User, item and time (share of the half year that had passed), `[interactions]` each, in the order of time.
    """
    user = np.repeat(np.arange(len(activity)), activity)
    time = users.joined[user] + (1 - users.joined[user]) * rng.random(len(user))
    order = np.argsort(time, kind="stable")
    user, time = user[order], time[order]
    shelf = utility + NEW_BONUS * items.is_new
    item = np.empty(len(user), dtype=int)
    for row, who in enumerate(user):
        # The largest utility plus Gumbel noise is a draw from the softmax over the utilities.
        noisy = shelf[who] + rng.gumbel(size=shelf.shape[1])
        noisy[items.released * len(user) > row] = -np.inf
        item[row] = np.argmax(noisy)
        shelf[who, item[row]] = -np.inf
    return user, item, time


def _balanced(rng, count, kinds):
    return rng.permutation(np.arange(count) % kinds)


def _standardised(values):
    return (values - values.mean()) / values.std()


def _category_taste(rng, count):
    names = list(dict.fromkeys(category for category, _ in SUBCATEGORIES))
    place = [names.index(category) for category, _ in SUBCATEGORIES]
    broad = rng.normal(size=(count, len(names)))[:, place]
    return np.sqrt(0.6) * broad + np.sqrt(0.4) * rng.normal(size=(count, len(SUBCATEGORIES)))
