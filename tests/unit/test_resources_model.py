"""Keys of ids, and that the code knows the newest migration."""

from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.resources import migrate
from goldsmith.resources.model import key_of, parent_key

GROUP = "/subscriptions/s/resourcegroups/g"


@pytest.mark.parametrize(
    ("key", "parent"),
    [
        (f"{GROUP}/providers/n/t/a/u/b", f"{GROUP}/providers/n/t/a"),
        (f"{GROUP}/providers/n/t/a", GROUP),
        (f"{GROUP}/providers/n/t/a/providers/m/v/c", f"{GROUP}/providers/n/t/a"),
        (f"{GROUP}/providers/n/t/a/providers/m/v/c/w/d", f"{GROUP}/providers/n/t/a/providers/m/v/c"),
        (f"{GROUP}/providers/n/providers/a", GROUP),
        (GROUP, "/subscriptions/s"),
        ("/subscriptions/s", ""),
        ("/providers/n/t/a", ""),
    ],
)
def test_parent_is_what_contains_the_resource(key: str, parent: str) -> None:
    assert parent_key(key) == parent


def test_key_folds_case() -> None:
    assert key_of("/A/b") == "/a/b"


@pytest.mark.parametrize("text", ["", "/", "a/b", "/a/", "/a//b", "//a"])
def test_malformed_id_has_no_key(text: str) -> None:
    with pytest.raises(InvalidInputError):
        key_of(text)


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).with_name("migrations")))
    assert ScriptDirectory.from_config(config).get_heads() == [migrate.HEAD]
