"""The examples are templates that can be built as they stand."""

import datetime
from pathlib import Path

import pytest

from goldsmith.kernel.cancel import NeverCancel
from goldsmith.publishing import planning
from goldsmith.publishing.inputs import InputStore
from goldsmith.publishing.request import read_request
from tests.tidy.markdown import REPOSITORY

_EXAMPLES = sorted((REPOSITORY / "examples").glob("*.yaml"))


def test_there_are_examples() -> None:
    assert {"hardened.yaml", "minimal.yaml"} <= {path.name for path in _EXAMPLES}


@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in _EXAMPLES])
def test_example_is_valid_and_its_files_are_those_it_says(path: Path, tmp_path: Path) -> None:
    request = read_request(path, today=datetime.date(2026, 1, 2))
    assert not request.template.warnings
    planning.refuse(request.template)
    planning.fetch_inputs(request, InputStore(tmp_path), cancel=NeverCancel())


def test_examples_build_different_images() -> None:
    requests = [read_request(path, today=datetime.date(2026, 1, 2)) for path in _EXAMPLES]
    targets = [planning.definition_id(planning.shared_image(one.template)) for one in requests]
    assert len(set(targets)) == len(targets)
