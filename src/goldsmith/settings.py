"""Where state lives and what the administrator set: the environment, and `config.yaml` in the state."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from goldsmith.kernel.errors import InvalidInputError

SUBSCRIPTION_DEFAULT = "00000000-0000-0000-0000-000000000000"
RESOURCE_GROUP_DEFAULT = "goldsmith"
REGION_DEFAULT = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionSettings:
    """A region's place: a directory, or `s3://bucket/prefix` with the options its endpoint needs."""

    url: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The two databases are SQLAlchemy URLs; a mirror of None means the machine's own configuration."""

    state: Path
    database: str
    jobs_database: str
    regions: Mapping[str, RegionSettings]
    subscription: str = SUBSCRIPTION_DEFAULT
    resource_group: str = RESOURCE_GROUP_DEFAULT
    mirror: str | None = None
    security_mirror: str | None = None
    actor: str = "unknown"


# The settings a config.yaml may hold, with what each means; docs/reference/settings.md is made from it.
KNOWN = {
    "database": "SQLAlchemy URL of the metadata store; default: SQLite in the state directory",
    "jobs_database": "SQLAlchemy URL of the job store; default: SQLite in the state directory",
    "mirror": "package mirror for Debian bases; default: the machine's own apt configuration",
    "regions": "name: {url: directory or s3://bucket/prefix, options: {...}}; default: local below the state",
    "resource_group": f"resource group of names given without one; default: {RESOURCE_GROUP_DEFAULT}",
    "security_mirror": "package mirror for Debian security updates; default: the machine's own",
    "subscription": f"subscription of names given without one; default: {SUBSCRIPTION_DEFAULT}",
}


def state_directory(environment: Mapping[str, str]) -> Path:
    """GOLDSMITH_STATE, else goldsmith below XDG_STATE_HOME, else below ~/.local/state."""
    if chosen := environment.get("GOLDSMITH_STATE"):
        return Path(chosen).expanduser().absolute()
    home = environment.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "goldsmith"


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings as they stand; makes the state directory (mode 0700) when it is absent.

    Raises InvalidInputError for a config.yaml that is no YAML mapping or holds unknown names.
    """
    values = os.environ if environment is None else environment
    state = state_directory(values)
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not any(state.iterdir()):
            # It was made by hand and is ours from now on.
            state.chmod(0o700)
    except OSError as error:
        raise InvalidInputError(
            f"the state directory {state} cannot be used: {error.strerror}",
            hint="point GOLDSMITH_STATE or --state at a directory of yours",
        ) from error
    config = _config(state / "config.yaml")
    regions = {
        name: RegionSettings(url=str(entry["url"]), options=dict(entry.get("options", {})))
        for name, entry in config.get("regions", {}).items()
    }
    regions.setdefault(REGION_DEFAULT, RegionSettings(url=str(state / "regions" / REGION_DEFAULT)))
    return Settings(
        state=state,
        database=config.get("database", f"sqlite:///{state / 'goldsmith.db'}"),
        jobs_database=config.get("jobs_database", f"sqlite:///{state / 'jobs.db'}"),
        regions=regions,
        subscription=config.get("subscription", SUBSCRIPTION_DEFAULT),
        resource_group=config.get("resource_group", RESOURCE_GROUP_DEFAULT),
        mirror=config.get("mirror"),
        security_mirror=config.get("security_mirror"),
        actor=values.get("SUDO_USER") or values.get("USER") or "unknown",
    )


def _config(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    try:
        data = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise InvalidInputError(f"{path} is not YAML: {error}") from error
    if not isinstance(data, dict) or not set(data) <= set(KNOWN):
        unknown = ", ".join(sorted(set(data) - set(KNOWN))) if isinstance(data, dict) else "no mapping"
        raise InvalidInputError(
            f"{path} holds unknown settings: {unknown}", hint=f"known are: {', '.join(sorted(KNOWN))}"
        )
    regions = data.get("regions", {})
    if not isinstance(regions, dict) or not all(isinstance(r, dict) and "url" in r for r in regions.values()):
        raise InvalidInputError(f"{path}: regions must map each name to a mapping with url")
    return data
