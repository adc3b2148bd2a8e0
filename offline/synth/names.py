"""Names of synthetic users, places, schools, companies and interests."""

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.object_]


def _words(text: str) -> list[str]:
    return text.split()


FIRST_NAMES = _words(
    "Ada Aiko Alma Amara Amir Ana Anouk Arjun Astrid Ayla Bela Bruno Carla Cem Chidi Chloe Clara Dara Davi Dina Elif "
    "Elena Elias Emil Emma Enzo Esra Eva Farah Felix Finn Freya Gita Hana Hugo Ida Ilse Imani Ines Iris Ivan Ivo Jada "
    "Jonas Jun Kaito Karim Keira Kofi Lara Leila Leo Liam Lin Lucia Luis Luka Mads Maya Mei Mila Mina Nadia Nia Niko "
    "Nils Nina Noah Noor Olga Omar Oskar Otto Paula Pia Priya Rafael Rania Ravi Remy Rosa Rui Sara Selma Sena Sofia "
    "Soren Tara Theo Tomas Uma Vera Victor Wanda Yara Yuki Yusuf Zara Zoe"
)

_NAME_STARTS = _words(
    "Al An Ar Bar Bel Ber Bran Cal Car Cor Dal Dor Dun El Fal Far Fen Gar Gil Gren Hal Har Hol Jan Kal Kar Kel Ker Lan "
    "Lar Lin Mal Mar Mel Mor Nor Ol Or Pel Per Quin Ral Ren Ros San Sel Sol Tal Tor Tren Val Ver Vol Wal Wen Yar Zel"
)

_NAME_ENDS = _words(
    "aro berg by den dez don e eira el en er escu ett ez gar i ian ida in ini ino is ka ko la les ley lin lo man mer "
    "mond na nen ner ney o off os ova ow oz ra rell rez ros sen ski son stad ston tal ten ti ton va vic wan wick worth"
)

_PLACE_STARTS = _words(
    "Ash Aven Black Bright Cald Castle Clear Crest East Elder Fair Fern Glen Gold Green Hart Hazel High Kings Lake "
    "Lang Long Maple Mill New North Oak Old Pine Port Raven Red River Rock Rose Salt Sil South Spring Stone Sun Thorn "
    "Vale West White Wild Wind Wood"
)

_PLACE_ENDS = _words(
    "borough bourne bridge brook burg burgh bury by cliff combe dale field ford gate ham harbour haven hill holm hurst "
    "land ley mead mere minster mouth port ridge shore stead stoke ton view ville water wich wick worth"
)

_COMPANY_STARTS = _words(
    "Acre Alto Anchor Apex Arbor Argo Atlas Aura Axiom Beacon Birch Blue Bolt Cedar Cinder Cobalt Copper Delta Echo "
    "Ember Falcon Field Flint Forge Gamma Granite Harbor Helio Indigo Iron Juniper Kestrel Lantern Lumen Lyra Meridian "
    "Mosaic Nova Opal Orbit Orchard Pixel Polar Prism Quarry Quill Rook Saffron Sierra Signal Sparrow Summit Tidal "
    "Vector Vertex Willow Zenith"
)

INDUSTRIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Software": (("Labs", "Systems", "Cloud", "Soft"), ("Backend engineer", "Data scientist", "Product manager")),
    "Health": (("Clinic", "Care", "Health", "Bio"), ("Nurse", "Physician", "Lab technician")),
    "Finance": (("Capital", "Bank", "Partners", "Insurance"), ("Analyst", "Accountant", "Risk manager")),
    "Education": (("Academy", "Learning", "Press"), ("Teacher", "Researcher", "Librarian")),
    "Industry": (("Works", "Motors", "Steel", "Robotics"), ("Mechanical engineer", "Machinist", "Plant manager")),
    "Media": (("Studio", "Media", "Records", "Films"), ("Editor", "Designer", "Producer")),
    "Retail": (("Market", "Goods", "Foods", "Store"), ("Shop manager", "Buyer", "Merchandiser")),
    "Energy": (("Energy", "Power", "Solar", "Grid"), ("Electrician", "Field engineer", "Planner")),
    "Transport": (("Freight", "Lines", "Rail", "Logistics"), ("Dispatcher", "Pilot", "Driver")),
    "Public service": (("Council", "Agency", "Trust"), ("Social worker", "Policy adviser", "Clerk")),
}
"""by industry: name endings of its companies, and roles"""

_SCHOOLS = ("University", "College", "Institute of Technology", "School of Arts")

INTEREST_NAMES = _words(
    "running cycling football basketball tennis swimming climbing hiking skiing surfing yoga boxing rowing sailing "
    "fencing chess go poker board-games puzzles video-games role-playing film theatre opera ballet dance jazz rock "
    "techno folk hip-hop choir guitar piano violin drums painting pottery drawing photography design architecture "
    "fashion knitting woodworking gardening beekeeping cooking baking coffee tea wine cheese travel languages history "
    "philosophy poetry novels comics science-fiction astronomy physics mathematics programming robotics electronics "
    "startups investing volunteering politics birdwatching"
)


def _distinct(starts: list[str], ends: list[str], count: int, rng: np.random.Generator) -> list[str]:
    """`count` distinct names of a start and an end; with a numeral after all combinations are used."""
    names = [start + end for start in starts for end in ends]
    order = rng.permutation(len(names))
    rounds = [
        f"{names[at]} {numeral}".removesuffix(" 1") for numeral in range(1, 2 + count // len(names)) for at in order
    ]
    return rounds[:count]


def _as_words(names: list[str]) -> Words:
    return np.array(names, dtype=object)


def surnames() -> Words:
    """All surnames."""
    return _as_words([start + end for start in _NAME_STARTS for end in _NAME_ENDS])


def cities(count: int, rng: np.random.Generator) -> Words:
    """(count,) distinct city names."""
    return _as_words(_distinct(_PLACE_STARTS, _PLACE_ENDS, count, rng))


def schools(city: NDArray[np.int32], city_names: Words, rng: np.random.Generator) -> Words:
    """A distinct name for the school in each of these cities: two use the city's name, the others a surname."""
    founders = _distinct(_NAME_STARTS, _NAME_ENDS, len(city), rng)
    seen = np.zeros(len(city_names), dtype=np.int64)
    names = []
    for at, where in enumerate(city):
        namesake = city_names[where] if seen[where] < 2 else founders[at]
        names.append(f"{namesake} {_SCHOOLS[seen[where] % len(_SCHOOLS)]}")
        seen[where] += 1
    return _as_words(names)


def companies(industry: NDArray[np.int64], rng: np.random.Generator) -> Words:
    """A distinct name for a company of each of these industries."""
    kinds = [kinds for kinds, _ in INDUSTRIES.values()]
    partners = [f" & {name}" for name in surnames()]
    owners = [
        *_COMPANY_STARTS,
        *_distinct(_COMPANY_STARTS, partners, max(0, len(industry) - len(_COMPANY_STARTS)), rng),
    ]
    spots = rng.random(len(industry))
    return _as_words(
        [
            f"{owner} {kinds[kind][int(spot * len(kinds[kind]))]}"
            for owner, kind, spot in zip(owners[: len(industry)], industry, spots, strict=True)
        ]
    )
