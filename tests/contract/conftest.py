"""Servers that the contract suites share: started once, on first use."""

from collections.abc import Iterator

import pytest

from tests.servers import MissingServerError, S3Server, postgres_database, postgres_server, s3_server


@pytest.fixture(scope="session")
def postgres_server_url() -> Iterator[str]:
    try:
        with postgres_server() as url:
            yield url
    except MissingServerError as error:
        pytest.skip(str(error))


@pytest.fixture
def postgres_url(postgres_server_url: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database of the test's own."""
    with postgres_database(postgres_server_url) as url:
        yield url


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    try:
        with s3_server() as server:
            yield server
    except MissingServerError as error:
        pytest.skip(str(error))
