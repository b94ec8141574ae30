"""The vocabulary of the demo catalogue: several words for one meaning, and words without any meaning.

Nothing here names a colour, a shape or a pattern: those are only in the pictures.
"""

from __future__ import annotations

CATEGORIES: tuple[tuple[str, ...], ...] = (
    ("mug", "cup", "tumbler", "beaker"),
    ("lamp", "lantern", "luminaire", "nightlight"),
    ("chair", "stool", "armchair", "recliner"),
    ("backpack", "rucksack", "daypack", "satchel"),
    ("blanket", "throw", "quilt", "coverlet"),
    ("clock", "timepiece", "timer", "chronometer"),
    ("kettle", "teapot", "samovar", "boiler"),
    ("notebook", "journal", "diary", "sketchbook"),
    ("pillow", "cushion", "bolster", "headrest"),
    ("vase", "urn", "amphora", "flowerpot"),
    ("knife", "cleaver", "slicer", "blade"),
    ("umbrella", "parasol", "brolly", "sunshade"),
    ("rug", "carpet", "mat", "runner"),
    ("shelf", "bookcase", "rack", "cabinet"),
    ("bottle", "flask", "canteen", "thermos"),
    ("scarf", "shawl", "stole", "wrap"),
    ("bowl", "basin", "dish", "tureen"),
    ("mirror", "speculum", "reflector", "glassface"),
    ("jacket", "parka", "anorak", "windbreaker"),
    ("tray", "platter", "salver", "board"),
    ("speaker", "soundbox", "loudspeaker", "boombox"),
    ("basket", "hamper", "crate", "bin"),
    ("towel", "cloth", "wiper", "washcloth"),
    ("puzzle", "jigsaw", "brainteaser", "riddle"),
)
"""24 kinds of product, four words each."""

USES: tuple[tuple[str, ...], ...] = (
    ("office", "workplace", "desk"),
    ("camping", "trekking", "outdoors"),
    ("nursery", "toddlers", "playroom"),
    ("travel", "commuters", "holidays"),
    ("kitchen", "cooking", "dining"),
    ("sports", "gym", "workout"),
)
"""Six uses, three words each."""

MATERIALS: tuple[tuple[str, ...], ...] = (
    ("oak", "wooden", "timber"),
    ("steel", "metal", "inox"),
    ("cotton", "textile", "woven"),
    ("bamboo", "rattan", "wicker"),
    ("ceramic", "porcelain", "stoneware"),
    ("leather", "suede", "hide"),
)
"""Six materials, three words each."""

_FILLER_TEXT = """
premium deluxe classic modern compact portable essential original vintage elegant practical robust lightweight
durable stylish handmade exclusive limited popular trusted bestselling award quality value budget family daily
everyday weekend summer winter autumn spring seasonal festive gift present bundle set pair pack kit series edition
collection range line generation version model style design concept choice select superior standard basic plus pro
max mini midi ultra lite smart easy quick simple handy clever safe gentle quiet strong firm soft warm cool fresh
clean pure natural organic eco sustainable recycled certified tested approved official imported local regional
artisan studio workshop factory heritage tradition anniversary jubilee signature icon legend hero champion star
royal imperial grand noble prime first second third new improved updated upgraded refreshed revised extended large
medium small tall short wide slim narrow deep flat foldable stackable washable adjustable removable reusable
refillable waterproof windproof heatproof shockproof nonslip indoor garden balcony terrace bedroom bathroom hallway
cellar attic garage studioflat cottage cabin urban rural coastal alpine tropical arctic desert island harbour
village market boutique café bistro fjord señorial crème déjà naïve façade
"""
FILLERS: tuple[str, ...] = tuple(_FILLER_TEXT.split())
"""Words that say nothing about relevance."""

_HOUSES: tuple[tuple[str, ...], ...] = (
    ("Ørstad", "Fjellheim", "Nordlys"),
    ("Müller", "Werkgut", "Häusler"),
    ("Élan", "Beauséjour", "Fleurine"),
    ("東山", "Higashi", "Kōyama"),
    ("Čapek", "Vltava", "Žižkov"),
    ("Señora", "Montaña", "Cordobés"),
    ("Łódka", "Wisła", "Gdynia"),
    ("Halden", "Whitmore", "Ashby"),
    ("Ελαία", "Elaia", "Kyklos"),
    ("Ünal", "Boğaziçi", "Çelik"),
    ("Reykja", "Þorsten", "Ísafold"),
    ("Gruppo", "Perché", "Lungarno"),
)
_HEADS = (
    "ba",
    "co",
    "dé",
    "fi",
    "gu",
    "hä",
    "jo",
    "ka",
    "lø",
    "mi",
    "no",
    "pü",
    "ra",
    "so",
    "ta",
    "vi",
    "we",
    "xa",
    "ys",
    "zo",
)
_TAILS = ("lan", "mar", "nex", "por", "quin", "rell", "sten", "tova", "umi", "vanu", "wick", "zeda")


def brand_names(brand: int) -> tuple[str, ...]:
    """Return the three names under which brand number `brand` (0-based, any size) sells: a house, two lines."""
    if brand < len(_HOUSES):
        return _HOUSES[brand]
    first = 3 * (brand - len(_HOUSES))
    return tuple(_coined_name(number) for number in range(first, first + 3))


def _coined_name(number: int) -> str:
    """Spell `number` in syllables: a word of its own for every number."""
    number, tail = divmod(number, len(_TAILS))
    number, head = divmod(number, len(_HEADS))
    name = _HEADS[head] + _TAILS[tail]
    while number:
        number, head = divmod(number - 1, len(_HEADS))
        name = _HEADS[head] + name
    return name.capitalize()
