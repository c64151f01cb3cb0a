"""Names and ids for containers that nobody named."""

from __future__ import annotations

_ADJECTIVES = (
    "amber", "autumn", "bold", "brave", "brisk", "calm", "candid", "clear", "clever", "cosy", "crisp", "deft",
    "eager", "early", "fair", "fleet", "fond", "fresh", "gentle", "glad", "golden", "grand", "green", "happy",
    "hardy", "honest", "humble", "jolly", "keen", "kind", "lively", "loyal", "lucid", "merry", "mild", "neat",
    "nimble", "noble", "patient", "plain", "polite", "proud", "quick", "quiet", "rapid", "ready", "royal", "rustic",
    "serene", "sharp", "silver", "simple", "sleek", "snug", "solid", "steady", "still", "sunny", "swift", "tidy",
    "true", "vivid", "warm", "wise",
)  # fmt: skip
_NOUNS = (
    "acorn", "alder", "anchor", "apricot", "aspen", "badger", "basket", "beacon", "beech", "birch", "bramble",
    "bridge", "brook", "cabin", "cedar", "chest", "cloud", "clover", "comet", "coral", "crane", "drawer", "falcon",
    "fern", "finch", "forest", "garden", "grove", "harbor", "hazel", "heron", "island", "ivy", "kettle", "lantern",
    "larch", "lark", "linden", "maple", "meadow", "moss", "oak", "orchard", "otter", "owl", "parcel", "pebble",
    "pine", "plum", "quay", "reed", "ridge", "river", "robin", "rowan", "sparrow", "spruce", "stone", "swan",
    "thicket", "trunk", "valley", "willow", "wren",
)  # fmt: skip


def identifier(random: bytes) -> str:
    """64 hexadecimal digits of 32 random bytes."""
    return random.hex()


def name(random: bytes) -> str:
    """A name that is easy to say, with enough digits that two rarely meet; of at least six random bytes."""
    return f"{_ADJECTIVES[random[0] % len(_ADJECTIVES)]}_{_NOUNS[random[1] % len(_NOUNS)]}_{random[2:6].hex()}"
