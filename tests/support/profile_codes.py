"""Profiles coded for profile affinity."""

from models.features.profile_affinity import CodedProfiles
from models.features.profile_codes import ProfileCoder
from models.schema.profiles import Profiles


def coded_profiles(profiles: Profiles, text_model: str | None = None) -> CodedProfiles:
    """Profiles coded by a coder fitted to them."""
    return ProfileCoder.fit(profiles, text_model).coded(profiles)
